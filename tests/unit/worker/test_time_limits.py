"""The soft limit closes the call and then answers; the hard one does not wait for that."""

import asyncio
from collections.abc import Iterator

import pytest

from agentsched.ledger.values import State
from agentsched.protocols import Completion
from agentsched.worker import time_limits
from agentsched.worker.execution import Ended
from agentsched.worker.time_limits import NO_LIMITS, TimeLimits
from tests.unit.worker.fakes import Desk

SOON_S = 0.05
NEVER_S = 60.0


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    desk.completer.hangs = True
    yield desk
    desk.close()


def run(desk: Desk, **limit: float) -> Ended:
    desk.ends.time_limits = TimeLimits(**limit)
    return desk.run()


@pytest.mark.parametrize("which", ["soft", "hard"])
def test_a_call_that_takes_too_long_is_answered_so(desk: Desk, which: str) -> None:
    assert run(desk, **{f"{which}_s": SOON_S}) is Ended.ANSWERED
    error = desk.reply()["error"]
    assert (error["code"], error["retryable"]) == ("TIME_LIMIT_EXCEEDED", True)
    assert f"{which} time limit of 0.05 s" in error["message"]


@pytest.mark.parametrize("which", ["soft", "hard"])
def test_a_call_that_was_closed_at_its_limit_holds_no_slot(
    desk: Desk, which: str
) -> None:
    run(desk, **{f"{which}_s": SOON_S})
    assert desk.in_flight() == 0


def test_a_call_within_its_limits_is_not_touched(desk: Desk) -> None:
    desk.completer.hangs = False
    run(desk, soft_s=NEVER_S, hard_s=NEVER_S)
    assert desk.reply()["status"] == "completed"


def test_a_call_that_does_not_close_is_answered_at_the_hard_limit(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its slot stays in use: the model server may still work on it."""
    monkeypatch.setattr(time_limits, "CLOSE_S", SOON_S)
    stubborn = Stubborn()
    desk.slots._execution._completer = stubborn

    assert run(desk, soft_s=SOON_S, hard_s=4 * SOON_S) is Ended.ANSWERED

    assert desk.reply()["error"]["code"] == "TIME_LIMIT_EXCEEDED"
    assert desk.state() is State.ANSWERED
    assert desk.in_flight() == 1
    stubborn.let_go = True


def test_limits_of_the_task_stand_before_those_of_the_worker() -> None:
    worker = TimeLimits(soft_s=10, hard_s=20)
    assert TimeLimits(soft_s=1).over(worker) == TimeLimits(soft_s=1, hard_s=20)
    assert NO_LIMITS.over(worker) == worker
    assert TimeLimits(0, 0).over(worker) == worker
    assert TimeLimits(0, 0).over(TimeLimits(0, 0)) == NO_LIMITS


class Stubborn:
    """A call that does not end when it is cancelled."""

    def __init__(self) -> None:
        self.let_go = False

    async def complete(self, *_: object) -> Completion:
        while not self.let_go:
            try:
                await asyncio.sleep(SOON_S)
            except asyncio.CancelledError:
                continue
        raise asyncio.CancelledError
