"""The call loop: a cancelled call has ended when its waiter goes on."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from agentsched.worker.call_loop import CallLoop


@pytest.fixture
def calls() -> Iterator[CallLoop]:
    calls = CallLoop()
    yield calls
    calls.close(5)


async def answer() -> int:
    return 4


def test_a_thread_gets_what_a_coroutine_returns(calls: CallLoop) -> None:
    assert calls.start(answer()).result() == 4


def test_a_thread_gets_what_a_coroutine_raises(calls: CallLoop) -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        calls.start(fail()).result()


def test_a_cancelled_call_has_cleaned_up_when_its_waiter_goes_on(
    calls: CallLoop,
) -> None:
    running, cleaned = threading.Event(), []

    async def hang() -> None:
        try:
            running.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    call = calls.start(hang())
    assert running.wait(60)
    call.cancel()

    with pytest.raises(CancelledError):
        call.result()
    assert cleaned == [True]


def test_cancelling_what_has_ended_changes_nothing(calls: CallLoop) -> None:
    call = calls.start(answer())
    call.result()
    call.cancel()
    assert call.result() == 4


def test_closing_ends_what_runs(calls: CallLoop) -> None:
    call = calls.start(asyncio.sleep(60))
    calls.close(5)
    with pytest.raises(CancelledError):
        call.result()


def test_a_closed_loop_takes_no_call(calls: CallLoop) -> None:
    calls.close(5)
    with pytest.raises(RuntimeError):
        calls.start(answer())


def test_closing_it_twice_is_harmless(calls: CallLoop) -> None:
    calls.close(5)
    calls.close(5)
    assert not any(thread.name == "llm-calls" for thread in threading.enumerate())
