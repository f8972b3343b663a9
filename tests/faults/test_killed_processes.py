"""Bridges and workers are killed; nothing is lost, nothing is answered twice."""

import pytest

from agentsched.wire.codec import encode_message
from agentsched.wire.records import OutboundRecord
from tests.support.model_server import ModelServer
from tests.support.system import System
from tests.support.waiting import eventually, promised

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

TAKEN_OVER_S = 20
"""From the kill of a bridge on; its session takes 10 s of it."""
LEASE_S = 15


def owned(system, name):
    """Topic and partition of all that a bridge owns, by its own log."""
    now = set()
    lines = system.events(name, "partition_assigned")
    lines += system.events(name, "partition_revoked")
    for line in sorted(lines, key=lambda line: line["time"]):
        place = line["topic"], line["partition"]
        (now.add if line["event"] == "partition_assigned" else now.discard)(place)
    return now


def send_to(system, places):
    """One request to each of these partitions; returns their ids."""
    ids = {f"stranded-{topic}-{number}": (topic, number) for topic, number in places}
    for id_, (topic, number) in ids.items():
        value = encode_message({"id": id_, "correlation_id": id_, "content": id_})
        record = OutboundRecord(topic, value, id_, {"correlation_id": id_}, number)
        system.producer.send(record).result(20)
    return set(ids)


@pytest.mark.timed
def test_a_killed_bridge_comes_back_and_its_peer_leaves_in_order(tmp_path, kafka):
    with (
        ModelServer(delay_s=0.1) as server,
        System(tmp_path, kafka, server, {"m": 4}, partitions=2) as system,
    ):
        system.start(bridges=2)
        sent = set(system.send("low", 150) + system.send("high", 50))
        eventually(lambda: len(server.calls) > 20, timeout_s=30)
        eventually(lambda: owned(system, "bridge1"), timeout_s=30)
        left = eventually(lambda: owned(system, "bridge0"), timeout_s=30)

        system.kill("bridge0")
        with promised(TAKEN_OVER_S):
            stranded = send_to(system, left)
            sent |= stranded | set(system.send("medium", 50))
            system.bridge("bridge2")
            system.replies.wait_for(stranded, TAKEN_OVER_S)

        eventually(lambda: system.events("bridge2", "partition_assigned"), timeout_s=30)
        assert system.stop("bridge1") == 0
        sent |= set(system.send("high", 20))
        system.replies.wait_for(sent, 90)

        assert set(system.replies.counts()) == sent
        assert set(system.replies.counts().values()) == {1}
        assert len(server.calls) == len(sent)


@pytest.mark.timed
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
        with promised(LEASE_S + 10):
            others = set(system.send("high", 10))
            # The dead worker's leases hold all slots: all wait for their end.
            replies = system.replies.wait_for(held | others, LEASE_S + 10)

        assert set(system.replies.counts().values()) == {1}
        assert {replies[id_]["attempts"] for id_ in held} == {2}
        assert {replies[id_]["attempts"] for id_ in others} == {1}
