"""A request is cancelled wherever it is: one reply CANCELLED, and no call goes on."""

import os
import signal
import subprocess
import sys

import pytest

from agentsched.embedded.services import environment
from agentsched.wire.codec import Identity, cancel_record
from tests.support.model_server import ModelServer
from tests.support.pages import Scrape
from tests.support.system import System
from tests.support.waiting import eventually, promised

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]

LONG_S = 400.0
"""Longer than a test."""
HEARD_S = 5.0
NO_RENEWAL = {"timing": {"lease_s": 600, "renew_s": 300}}
"""Longer than a test: a worker can hear of a cancel by its message only."""
PATIENT = {"timing": {"heartbeat_ttl_s": 600}, "logging": {"level": "debug"}}
"""A worker that stands still keeps its slots in the bridge's eyes."""


def cancel(system, correlation_id, cls="high", agent_id="default"):
    record = cancel_record(Identity(agent_id, correlation_id), system.topics[cls])
    system.producer.send(record).result(20)


def no_slot_is_taken(system):
    return not system.ledger.snapshot(system.ledger.views.epoch() or "").slots


def waits_for_a_doorbell(system, worker):
    """Whether the ledger knows of a slot that is free: a turn that took nothing says so."""
    page = Scrape(system.address(worker))
    return (
        page.sum("agentsched_turns_total") and page.sum("agentsched_parked_slots") == 1
    )


def test_it_is_cancelled_in_flight_ready_indexed_and_unread(tmp_path, kafka):
    few = {"limits": {"ready_max_entries": 2}}
    with (
        ModelServer(delay_s=lambda asked: LONG_S) as server,
        System(tmp_path, kafka, server, {"m": 1}, config=few) as system,
    ):
        system.start()
        (running,) = system.send("high", 1)
        eventually(lambda: server.in_flight("m") == 1, timeout_s=20)
        waiting = system.send("medium", 5)  # two in the ready set, three indexed
        unread = "not-sent-yet"
        cancel(system, unread)
        cancel(system, waiting[4], agent_id="somebody-else")
        for one in waiting[:4]:
            cancel(system, one)
        sent = system.producer.produce(
            {"correlation_id": unread, "content": unread}, system.topics["low"]
        )
        sent.result(20)
        done = system.agentsched("cancel", running, "--topic", system.topics["low"])
        assert done.returncode == 0, done.stderr
        assert running not in done.stderr

        ended = {running, unread, *waiting[:4]}
        replies = system.replies.wait_for(ended, 30)
        assert {reply["error"]["code"] for reply in replies.values()} == {"CANCELLED"}
        # The slot of the call that was broken off is free: the last one starts.
        eventually(
            lambda: [call.prompt for call in server.calls] == [running, waiting[4]],
            timeout_s=20,
        )
        assert server.calls[0].ended_s - server.calls[0].started_s < LONG_S
        assert server.in_flight("m") == 1
        cancel(system, waiting[4])
        system.replies.wait_for({waiting[4]}, 20)
        assert set(system.replies.counts().values()) == {1}


@pytest.mark.timed
def test_a_running_call_is_broken_off_at_once_and_not_at_the_next_renewal(
    tmp_path, kafka
):
    with (
        ModelServer(delay_s=lambda asked: LONG_S) as server,
        System(tmp_path, kafka, server, {"m": 1}, config=NO_RENEWAL) as system,
    ):
        system.start()
        (running,) = system.send("high", 1)
        eventually(lambda: server.in_flight("m") == 1, timeout_s=20)

        with promised(HEARD_S):
            cancel(system, running)
            eventually(lambda: server.in_flight("m") == 0, timeout_s=HEARD_S)

        reply = system.replies.wait_for({running}, 20)[running]
        assert reply["error"]["code"] == "CANCELLED"
        eventually(lambda: no_slot_is_taken(system), timeout_s=20)
        assert len(server.calls) == 1
        assert system.replies.counts() == {running: 1}


def test_what_is_rung_for_and_not_taken_is_cancelled_and_never_called(tmp_path, kafka):
    with (
        ModelServer() as server,
        System(tmp_path, kafka, server, {"m": 1}, config=PATIENT) as system,
    ):
        system.start()
        worker = system.children["worker-m-0"]
        eventually(lambda: waits_for_a_doorbell(system, "worker-m-0"), timeout_s=20)
        worker.signal(signal.SIGSTOP)
        (rung,) = system.send("high", 1)
        eventually(lambda: system.events("bridge0", "doorbell_rung"), timeout_s=20)
        cancel(system, rung)
        reply = system.replies.wait_for({rung}, 20)[rung]
        assert reply["error"]["code"] == "CANCELLED"
        eventually(lambda: no_slot_is_taken(system), timeout_s=20)

        worker.signal(signal.SIGCONT)
        after = set(system.send("high", 2))
        system.replies.wait_for(after, 30)
        assert {call.prompt for call in server.calls} == after
        assert len(server.calls) == 2
        assert set(system.replies.counts().values()) == {1}


def test_a_topic_that_no_bridge_reads_is_refused(tmp_path):
    (tmp_path / "agentsched.yaml").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "agentsched", "cancel", "x", "--topic", "nowhere"],
        env=environment(os.environ, tmp_path / "agentsched.yaml", {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 2
    assert "no bridge reads 'nowhere'" in done.stderr
