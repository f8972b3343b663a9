"""A suspect runs in a process of its own, and only what crashes there counts."""

import os
import sys
import threading

import pytest

from agentsched.ledger.values import (
    CallOutcome,
    Claimed,
    ClaimOutcome,
    Ending,
    ReserveOutcome,
    State,
)
from agentsched.worker.call_result import CallResult
from agentsched.worker.clock import Clock
from agentsched.worker.execution import Ended
from agentsched.worker.leases import Stop
from agentsched.worker.suspect_protocol import (
    decode_answer,
    decode_claimed,
    encode_answer,
    encode_claimed,
)
from agentsched.worker.suspects import AT_ONCE, SUSPECT_CRASHES, Child, Suspects
from tests.support.requests import facts
from tests.unit.worker.fakes import Desk

ANSWER = CallResult(b'{"content": "four"}', CallOutcome(ok=True, model_ms=7))
LINE = encode_answer(ANSWER).decode().strip()
ANSWERS = f"import sys\nfor _ in sys.stdin: print({LINE!r}, flush=True)"
DIES = "import os, sys\nsys.stdin.readline()\nos._exit(9)"
HANGS = "import sys, time\nsys.stdin.readline()\ntime.sleep(600)"


def desk_with(script):
    started = []

    def start():
        child = Child([sys.executable, "-c", script])
        started.append(child)
        return child

    desk = Desk()
    desk.suspects = Suspects(desk.leases.clock, start)
    desk.execution._suspects = desk.suspects
    desk.children = started
    return desk


def close(desk):
    desk.suspects.close()
    desk.calls.close(5)


def suspect(desk, crashes=SUSPECT_CRASHES):
    """A doorbell of a request that was in flight in so many crashes."""
    doorbell = desk.rung()
    key, ring = doorbell.key, 1
    for _ in range(crashes):
        desk.ledger.claim(desk.epoch, key, ring, f"dead-{ring}", 0)
        assert desk.ledger.expire(desk.epoch, key)
        ring += 1
        reserve(desk, key, ring)
    return doorbell_of(doorbell, ring)


def reserve(desk, key, ring):
    place = ("m", desk.endpoint.name)
    outcome = desk.ledger.reserve(desk.epoch, "test", key, ring, *place)
    assert outcome is ReserveOutcome.RESERVED


def doorbell_of(doorbell, ring):
    return type(doorbell).from_wire(doorbell.to_wire() | {"ring": ring})


def test_a_suspect_is_answered_by_its_child_and_not_by_the_worker():
    desk = desk_with(ANSWERS)
    assert desk.execution.run(suspect(desk)) is Ended.ANSWERED
    assert desk.reply() == {"content": "four"}
    assert desk.completer.asked == []
    close(desk)


def test_one_crash_makes_no_suspect():
    desk = desk_with(DIES)
    assert desk.execution.run(suspect(desk, crashes=1)) is Ended.ANSWERED
    assert len(desk.completer.asked) == 1
    close(desk)


def test_a_child_that_dies_gives_the_request_back():
    desk = desk_with(DIES)
    assert desk.execution.run(suspect(desk)) is Ended.PUT_BACK
    assert (desk.state(), desk.in_flight(), desk.sink.records) == (State.READY, 0, [])
    close(desk)


def test_three_crashes_alone_are_poison():
    desk = desk_with(DIES)
    doorbell = suspect(desk)
    for more in range(3):
        assert view(desk).ending is None
        if more:
            reserve(desk, doorbell.key, doorbell.ring + more)
        desk.execution.run(doorbell_of(doorbell, doorbell.ring + more))
    assert view(desk).ending is Ending.POISON
    assert len(desk.children) == 3
    close(desk)


def view(desk):
    return desk.ledger.inspect(desk.epoch, ["k1"])[0]


def test_a_child_serves_one_suspect_after_the_other():
    desk = desk_with(ANSWERS)
    for _ in range(2):
        child = desk.suspects.take()
        claimed = Claimed(ClaimOutcome.CLAIMED, facts("k1"), b"{}", "m", "e", 3, 9)
        assert desk.suspects.run(child, claimed, 5.0) == ANSWER
    assert len(desk.children) == 1
    close(desk)


def test_a_suspect_that_finds_no_child_comes_again_and_was_not_started():
    desk = desk_with(ANSWERS)
    doorbell = suspect(desk)
    taken = [desk.suspects.take() for _ in range(AT_ONCE)]
    assert desk.execution.run(doorbell) is Ended.PUT_BACK
    (entry,) = desk.ledger.snapshot(desk.epoch).ready
    assert entry.not_before_ms > desk.ledger.membership.now_ms()
    for child in taken:
        child.close()
    close(desk)


def test_a_suspect_that_is_cancelled_ends_with_its_child():
    desk = desk_with(HANGS)
    doorbell, ended = suspect(desk), []
    thread = threading.Thread(target=lambda: ended.append(desk.execution.run(doorbell)))
    thread.start()
    while not (desk.children and desk.leases.held()):
        os.sched_yield()
    for lease in desk.leases.held():
        lease.stop(Stop.LOST)
    thread.join(10)
    assert ended == [Ended.PUT_BACK]
    assert view(desk).ending is None
    close(desk)


def test_a_child_that_does_not_end_in_time_is_killed():
    child = Child([sys.executable, "-c", HANGS])
    clock = Clock()
    with pytest.raises(Exception, match="suspect ended its process"):
        child.run(b"{}\n", clock.now_s(), clock)
    child.close()


def test_what_is_written_for_the_child_is_what_it_reads():
    claimed = Claimed(
        ClaimOutcome.CLAIMED,
        facts("k1"),
        b"\xff any bytes \n",
        "m",
        "http://127.0.0.1:1/v1",
        attempt=3,
        time_left_ms=1500,
        queued_ms=40,
    )
    assert decode_claimed(encode_claimed(claimed, 1.5)) == claimed


def test_an_answer_comes_back_as_it_was():
    answer = CallResult(
        b"\x00\xff\n", CallOutcome(ok=False, model_ms=3, called=False), "CODE"
    )
    assert decode_answer(encode_answer(answer)) == answer
