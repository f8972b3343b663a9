"""Celery's threads pool, without its leaks: the pool that every worker uses.

Knows no request: those run in the loop of the slots, whose number is the pool's size. Its
threads are for other tasks, of users who have some.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NoReturn, Protocol

from billiard.einfo import ExceptionInfo
from celery.concurrency.thread import TaskPool as ThreadsPool
from celery.exceptions import Reject
from celery.worker import state as worker_state

from agentsched.telemetry.events import BUG
from agentsched.telemetry.logs import say, where
from agentsched.worker.wakeup import Wakeup

logger = logging.getLogger(__name__)

Target = Callable[..., Any]
Callback = Callable[..., Any]


class Started:
    """What Celery gets for a task that it handed over."""

    def terminate(self, signal: object) -> None:
        """Do nothing; see `TaskPool.terminate_job`."""


class Leave(Protocol):
    """Takes the worker out of service; does not block."""

    def __call__(self, *, at_once: bool) -> None:
        """Put back what runs: at once, or after `timing.drain_s`."""


def _nothing_to_leave(*, at_once: bool) -> None:
    """Stand in until the worker is ready."""


def _nothing() -> None:
    """Stand in until the worker is ready."""


def _no_slots() -> Mapping[str, int]:
    """Stand in until the worker is ready."""
    return {}


class TaskPool(ThreadsPool):
    """As many threads as the worker has slots.

    Unlike Celery's it can grow and shrink, gives the slot back when an exception escapes
    the task's tracer, and calls Celery back in the loop of its consumer only: Celery's
    own state is not made for threads, and events of tasks would get lost.
    """

    on_leaving: Leave = staticmethod(_nothing_to_leave)
    """Is told that no more tasks will come, and whether those that run shall end at
    once; set when the worker is ready."""
    on_resized: Callable[[], None] = staticmethod(_nothing)
    """Is told that `limit` is another."""
    on_ending: Callable[[], None] = staticmethod(_nothing)
    """Waits for the slots to end; after `on_leaving`."""
    slots: Callable[[], Mapping[str, int]] = staticmethod(_no_slots)
    """Requests at once per model, as heartbeats say it; set when the worker is ready."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Celery makes it; threads start when they are needed."""
        super().__init__(*args, **kwargs)
        self.executor = ThreadPoolExecutor(self.limit, thread_name_prefix="slot")
        self._news: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._wakeup: Wakeup | None = None

    def register_with_event_loop(self, loop: Any) -> None:  # noqa: ANN401  (kombu's Hub)
        """Take the consumer's loop; Celery calls it at every connection."""
        if self._wakeup is None:
            self._wakeup = Wakeup(self._tell_news)
        self._wakeup.watch_in(loop)

    def on_apply(  # type: ignore[override]  # celery-types says None
        self,
        target: Target,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        callback: Callback | None = None,
        accept_callback: Callback | None = None,
        **_: Any,  # noqa: ANN401
    ) -> Started:
        """Run one task on a free thread."""

        def run() -> None:
            if accept_callback is not None:
                accepted = (threading.get_ident(), time.monotonic())
                self._put(partial(_call, accept_callback, accepted))
            result = _result(target, args or (), kwargs or {})
            if callback is not None:
                self._put(partial(_call, callback, (result,)))

        self.executor.submit(run)
        return Started()

    def terminate_job(self, pid: int, signal: object = None) -> None:
        """Do nothing: who wants a call to end stops its lease.

        That is our `revoke`, and the keeper when the worker goes. A thread has no
        process id that would still mean the same task when it is used.
        """

    def on_close(self) -> None:
        """Say that the worker goes, on whatever way: a signal, or remote control."""
        self.on_leaving(at_once=False)

    def on_stop(self) -> None:
        """Wait for slots and threads; the loop has ended, so that Celery is told here.

        A cold shutdown stops the pool in the signal's handler, before anybody is told.
        """
        state: Any = worker_state  # celery-types take it for None always
        if state.should_terminate:
            self.on_leaving(at_once=True)
        self._end(cancel_futures=False)

    def on_terminate(self) -> None:
        """Wait for slots and threads; what they did was put back before."""
        self._end(cancel_futures=True)

    def grow(self, n: int = 1) -> None:
        """Allow more tasks at once (`celery control pool_grow`)."""
        self._resize(self.limit + n)

    def shrink(self, n: int = 1) -> None:
        """Allow fewer at once; idle threads stay, as they cost nothing."""
        self._resize(self.limit - n)

    def tell(self, callback: Callback, *args: Any) -> None:  # noqa: ANN401
        """Have the consumer's loop call something of ours; safe in every thread."""
        self._put(partial(_call_ours, callback, args))

    def _get_info(self) -> Any:  # noqa: ANN401  (Celery's own type is narrower)
        """Return what `celery inspect stats` and Flower show of the pool."""
        info = super()._get_info()  # type: ignore[misc]  # celery-types has it not
        return {**info, "slots": dict(self.slots())}

    def _end(self, *, cancel_futures: bool) -> None:
        self.on_ending()
        self.executor.shutdown(wait=True, cancel_futures=cancel_futures)
        self._tell_news()
        if self._wakeup is not None:
            self._wakeup.close()

    def _resize(self, limit: int) -> None:
        self.limit = max(1, limit)
        self.executor._max_workers = self.limit  # noqa: SLF001  (there is no other way)
        self.on_resized()

    def _put(self, news: Callable[[], None]) -> None:
        self._news.put(news)
        if self._wakeup is None:
            self._tell_news()
        else:
            self._wakeup.ring()

    def _tell_news(self) -> None:
        with contextlib.suppress(Empty):
            while True:
                self._news.get_nowait()()


def _result(target: Target, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401
    try:
        return target(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001  (nobody else would hear of it)
        escaped = type(error).__name__
    return _failure(escaped)


def _call(callback: Callback, args: tuple[Any, ...]) -> None:
    try:
        callback(*args)
    except BaseException as error:  # noqa: BLE001  (it would end the consumer)
        escaped = type(error).__name__
    else:
        return
    callback(_failure(escaped))


def _call_ours(callback: Callback, args: tuple[Any, ...]) -> None:
    try:
        callback(*args)
    except Exception as error:  # noqa: BLE001  (it would end the consumer)
        say(BUG, error=type(error).__name__, where=where(error.__traceback__))


def _failure(escaped: str) -> tuple[bool, ExceptionInfo, float]:
    # Not in the handler of the error: its text may hold a part of a request, and would
    # be a part of ours. Celery's pool drops it in a future that nobody reads, and counts
    # the slot as busy for ever. The doorbell may be forgotten: it is rung again.
    logger.critical("%s escaped from a task; its slot is free again", escaped)
    return True, _rejection(escaped), 0.0


def _rejection(reason: str) -> ExceptionInfo:
    try:
        _reject(reason)  # raised, as ExceptionInfo wants a traceback
    except Reject:
        return ExceptionInfo()


def _reject(reason: str) -> NoReturn:
    raise Reject(reason, requeue=False)
