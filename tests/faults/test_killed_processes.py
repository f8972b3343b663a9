"""Bridges and workers are killed; nothing is lost, nothing is answered twice."""

import time

import pytest

from tests.support.model_server import ModelServer
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

LEASE_S = 15


def test_a_killed_bridge_comes_back_and_its_peer_leaves_in_order(tmp_path, kafka):
    with (
        ModelServer(delay_s=0.1) as server,
        System(tmp_path, kafka, server, {"m": 4}, partitions=2) as system,
    ):
        system.start(bridges=2)
        sent = set(system.send("low", 150) + system.send("high", 50))
        eventually(lambda: len(server.calls) > 20, timeout_s=30)

        system.kill("bridge0")
        sent |= set(system.send("medium", 50))
        system.bridge("bridge2")
        seen = len(system.replies.counts())
        killed_s = time.monotonic()
        eventually(lambda: len(system.replies.counts()) > seen, timeout_s=20)
        assert time.monotonic() - killed_s <= 20

        eventually(lambda: system.events("bridge2", "partition_assigned"), timeout_s=30)
        assert system.stop("bridge1") == 0
        sent |= set(system.send("high", 20))
        system.replies.wait_for(sent, 90)

        assert set(system.replies.counts()) == sent
        assert set(system.replies.counts().values()) == {1}
        assert len(server.calls) == len(sent)


def test_what_a_killed_worker_held_is_answered_by_another(tmp_path, kafka):
    with (
        ModelServer(delay_s=lambda asked: 60.0 if first(asked) else 0.05) as server,
        System(tmp_path, kafka, server, {"m": 3}) as system,
    ):
        held: set[str] = set()

        def first(asked):
            """The first call of each of the held requests hangs."""
            prompt = asked["messages"][0]["content"]
            calls = [call for call in server.calls if call.prompt == prompt]
            return prompt.startswith("held") and len(calls) <= 1

        system.start()
        held = set(system.send("high", 3, label="held"))
        eventually(lambda: server.in_flight("m") == 3, timeout_s=20)
        system.worker("m", "other")
        system.wait_for_slots({"m": 6})
        system.kill("worker-m-0")
        killed_s = time.monotonic()
        others = set(system.send("high", 10))
        replies = system.replies.wait_for(held | others, LEASE_S + 10)

        assert time.monotonic() - killed_s <= LEASE_S + 10
        assert set(system.replies.counts().values()) == {1}
        assert {replies[id_]["attempts"] for id_ in held} == {2}
        assert {replies[id_]["attempts"] for id_ in others} == {1}
