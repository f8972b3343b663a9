"""The one asyncio loop of a worker process, in a thread of its own.

All LLM calls run on it, so that hundreds of them share connections and one thread.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, Generic, TypeVar

import uvloop

T = TypeVar("T")

BEAT_S = 1.0


class Call(Generic[T]):
    """One coroutine under way on the loop, as the thread that waits for it sees it.

    Unlike the future of `asyncio.run_coroutine_threadsafe`, a cancelled call ends only
    when its coroutine has ended: then its connection is closed, and the slot that
    pays for it may be given away.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]
    ) -> None:
        """Starts at once."""
        self._loop = loop
        self._work = work
        self._task: asyncio.Task[T] | None = None
        self._ended: Future[T] = Future()
        loop.call_soon_threadsafe(self._start)

    def cancel(self) -> None:
        """Ask the coroutine to stop; does not block, and may come too late."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: it has stopped
            self._loop.call_soon_threadsafe(self._cancel)

    def result(self, timeout_s: float | None = None) -> T:
        """Block until the coroutine has ended; give or raise what it did.

        Args:
            timeout_s: how long to wait at most; None: as long as it takes.

        Raises:
            CancelledError: (of concurrent.futures) it was cancelled, and has stopped.
            TimeoutError: it has not ended yet.
        """
        return self._ended.result(timeout_s)

    def _start(self) -> None:
        self._task = self._loop.create_task(self._work)
        self._task.add_done_callback(self._end)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _end(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self._ended.set_exception(CancelledError())
        elif error := task.exception():
            self._ended.set_exception(error)
        else:
            self._ended.set_result(task.result())


class CallLoop:
    """Runs coroutines for threads that wait for them."""

    def __init__(self, on_turn: Callable[[], None] | None = None) -> None:
        """Starts the thread.

        Args:
            on_turn: called in the loop, every second: proof that it turns.
        """
        self._loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="llm-calls", daemon=True
        )
        self._thread.start()
        if on_turn is not None:
            self._loop.call_soon_threadsafe(self._beat, on_turn)

    def _beat(self, on_turn: Callable[[], None]) -> None:
        on_turn()
        self._loop.call_later(BEAT_S, self._beat, on_turn)

    def start(self, work: Coroutine[Any, Any, T]) -> Call[T]:
        """Run a coroutine; does not wait for it.

        Raises:
            RuntimeError: the loop is closed.
        """
        try:
            return Call(self._loop, work)
        except RuntimeError:
            work.close()  # else Python warns that nobody awaited it
            raise

    def close(self, timeout_s: float) -> None:
        """Cancel what still runs and end the thread; idempotent.

        Args:
            timeout_s: how long what is cancelled may take to clean up.
        """
        if self._loop.is_closed():
            return
        ending = asyncio.run_coroutine_threadsafe(_cancel_the_others(), self._loop)
        with contextlib.suppress(TimeoutError):
            ending.result(timeout_s)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._loop.close()


async def _cancel_the_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
