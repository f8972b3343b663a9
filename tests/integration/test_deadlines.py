"""Expired work is answered by its deadline, wherever it waits, without a call."""

import time

import pytest

from tests.support.model_server import ModelServer
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

GRACE_S = 30
TTL_S = 4.0


def test_what_waits_is_answered_by_its_deadline_and_never_called(tmp_path, kafka):
    few = {"limits": {"ready_max_entries": 4}}
    with (
        ModelServer(delay_s=lambda asked: 12.0) as server,
        System(tmp_path, kafka, server, {"m": 1}, config=few) as system,
    ):
        system.start()
        (running,) = system.send("high", 1, ttl_s=60)
        eventually(lambda: server.in_flight("m") == 1, timeout_s=20)
        sent_s = time.monotonic()
        # Four of them are in the ready set, the others in Kafka only.
        late = set(system.send("low", 20, ttl_s=TTL_S))
        replies = system.replies.wait_for(late, TTL_S + GRACE_S)
        took_s = time.monotonic() - sent_s

        assert {reply["error"]["code"] for reply in replies.values()} == {
            "DEADLINE_EXCEEDED"
        }
        assert took_s >= TTL_S
        system.replies.wait_for({running}, 30)
        assert [call.prompt for call in server.calls] == [running]
        assert set(system.replies.counts().values()) == {1}
