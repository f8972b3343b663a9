"""A suspect runs in a process of its own, and only what crashes there counts."""

import contextlib
import os
import resource
import sys

import pytest

from agentsched.ledger.turns import SUSPECT_CRASHES, Taken
from agentsched.ledger.values import CallOutcome, Ending, State
from agentsched.worker.call_result import CallResult
from agentsched.worker.clock import Clock
from agentsched.worker.execution import Ended
from agentsched.worker.leases import Stop
from agentsched.worker.suspect_protocol import (
    decode_answer,
    decode_taken,
    encode_answer,
    encode_taken,
)
from agentsched.worker.suspects import AT_ONCE, Child
from tests.support.requests import facts
from tests.support.waiting import eventually
from tests.unit.worker.fakes import Desk

ANSWER = CallResult(b'{"content": "four"}', CallOutcome(ok=True, model_ms=7))
LINE = encode_answer(ANSWER).decode().strip()
ANSWERS = f"import sys\nfor _ in sys.stdin: print({LINE!r}, flush=True)"
DIES = "import os, sys\nsys.stdin.readline()\nos._exit(9)"
HANGS = "import sys, time\nsys.stdin.readline()\ntime.sleep(600)"


@pytest.fixture
def make_desk(monkeypatch):
    desks = []

    def make(script):
        started = []

        def start(*_):
            started.append(Child([sys.executable, "-c", script]))
            return started[-1]

        desk = Desk(slots=6)
        desk.suspects._start = start
        desk.children = started
        desks.append(desk)
        return desk

    yield make
    for desk in desks:
        desk.close()


def suspect(desk, key="k1", crashes=SUSPECT_CRASHES):
    """A doorbell of a request that was in flight in so many crashes; it is listed."""
    eventually(desk.slots.waiting)
    doorbell = desk.admitted(key)
    desk.crash(key, crashes)
    desk.plan()
    return doorbell


def run(desk, doorbell):
    desk.ring(doorbell)
    return desk.ended()


def test_a_suspect_is_answered_by_its_child_and_not_by_the_worker(make_desk):
    desk = make_desk(ANSWERS)
    assert run(desk, suspect(desk)) is Ended.ANSWERED
    assert desk.reply() == {"content": "four"}
    assert desk.completer.asked == []


def test_one_crash_makes_no_suspect(make_desk):
    desk = make_desk(DIES)
    assert run(desk, suspect(desk, crashes=1)) is Ended.ANSWERED
    assert len(desk.completer.asked) == 1


def test_a_child_that_dies_gives_the_request_back(make_desk):
    desk = make_desk(DIES)
    assert run(desk, suspect(desk)) is Ended.PUT_BACK
    assert (desk.state(), desk.in_flight(), desk.sink.records) == (State.READY, 0, [])


def test_three_crashes_alone_are_poison(make_desk):
    desk = make_desk(DIES)
    doorbell = suspect(desk)
    for more in range(3):
        assert view(desk).ending is None
        if more:
            desk.plan()
        run(desk, doorbell)
    assert view(desk).ending is Ending.POISON
    assert len(desk.children) == 3


def view(desk):
    return desk.ledger.inspect(desk.epoch, ["k1"])[0]


def test_a_child_serves_one_suspect_after_the_other(make_desk):
    desk = make_desk(ANSWERS)
    for key in ("k1", "k2"):
        assert run(desk, suspect(desk, key)) is Ended.ANSWERED
    assert len(desk.children) == 1


def test_no_more_suspects_are_taken_than_there_are_children(make_desk):
    desk = make_desk(HANGS)
    keys = [f"k{n}" for n in range(AT_ONCE + 1)]
    for key in keys:
        desk.ring(suspect(desk, key))
        eventually(lambda key=key: key in desk.acknowledged)
    eventually(lambda: len(desk.children) == AT_ONCE)
    assert desk.state(keys[-1]) is State.READY
    # The free slots go on.
    doorbell = desk.admitted("innocent")
    desk.plan()
    assert run(desk, doorbell) is Ended.ANSWERED
    desk.leases.stop_all(Stop.PUT_BACK)
    assert [desk.ended() for _ in range(AT_ONCE)] == [Ended.PUT_BACK] * AT_ONCE


def test_a_suspect_for_which_no_child_starts_comes_again_and_was_not_started(make_desk):
    desk = make_desk(ANSWERS)

    def fail():
        raise OSError("no more processes")

    desk.suspects._start = fail
    assert run(desk, suspect(desk)) is Ended.PUT_BACK
    (entry,) = desk.ledger.snapshot(desk.epoch).ready
    assert entry.not_before_ms > desk.ledger.membership.now_ms()
    assert view(desk).attempts == SUSPECT_CRASHES


def test_a_suspect_that_is_cancelled_ends_with_its_child(make_desk):
    desk = make_desk(HANGS)
    desk.ring(suspect(desk))
    eventually(lambda: desk.children and desk.leases.held())
    for lease in desk.leases.held():
        lease.stop(Stop.LOST)
    assert desk.ended() is Ended.PUT_BACK
    assert view(desk).ending is None


def test_a_child_is_read_whatever_number_its_pipe_has():
    """`select` takes none above 1,023, and a worker with many calls has more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    with contextlib.ExitStack() as files:
        files.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            files.enter_context(open(os.devnull, "rb"))  # noqa: PTH123
        child = Child([sys.executable, "-c", ANSWERS])
        clock = Clock()
        assert child._process.stdout.fileno() > 1024
        assert child.run(b"{}\n", clock.now_s() + 60, clock) == LINE.encode() + b"\n"
        child.close()


def test_a_child_that_died_before_it_was_asked_is_closed_whole():
    child = Child([sys.executable, "-c", ""])
    child._process.wait()
    with pytest.raises(Exception, match="suspect ended its process"):
        child.run(b"{}\n", Clock().now_s() + 60, Clock())
    child.close()
    assert child._process.stdout.closed


def test_a_child_that_does_not_end_in_time_is_killed():
    child = Child([sys.executable, "-c", HANGS])
    clock = Clock()
    with pytest.raises(Exception, match="suspect ended its process"):
        child.run(b"{}\n", clock.now_s(), clock)
    child.close()


def test_what_is_written_for_the_child_is_what_it_reads():
    taken = Taken(
        "k1",
        "lease",
        facts("k1"),
        b"\xff any bytes \n",
        "ab" * 16,
        "m",
        "http://127.0.0.1:1/v1",
        turn=3,
        attempt=3,
        time_left_ms=1500,
        queued_ms=40,
        crashes=2,
    )
    assert decode_taken(encode_taken(taken, 1.5)) == taken


def test_an_answer_comes_back_as_it_was():
    answer = CallResult(
        b"\x00\xff\n", CallOutcome(ok=False, model_ms=3, called=False), "CODE"
    )
    assert decode_answer(encode_answer(answer)) == answer
