"""Celery's threads pool, without its leaks: the pool that every worker uses.

Knows no request. A pool thread waits for its call, which runs on the call loop, so a
few hundred threads are cheap.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from billiard.einfo import ExceptionInfo
from celery.concurrency.thread import TaskPool as ThreadsPool
from celery.exceptions import Reject

logger = logging.getLogger(__name__)

Target = Callable[..., Any]


class Started:
    """What Celery gets for a task that it handed over."""

    def terminate(self, signal: object) -> None:
        """Do nothing: `terminate_job` was asked already."""


def _nothing_to_cancel(thread_id: int) -> None:
    """Stand in until the worker is ready."""


def _nothing_to_leave() -> None:
    """Stand in until the worker is ready."""


def _no_slots() -> Mapping[str, int]:
    """Stand in until the worker is ready."""
    return {}


class TaskPool(ThreadsPool):
    """As many threads as the worker has slots.

    Unlike Celery's it gives the slot back when an exception escapes the task's tracer,
    it can grow and shrink, and it can cancel what a thread does.
    """

    on_cancel: Callable[[int], None] = staticmethod(_nothing_to_cancel)
    """Cancels what the thread with this identity does; set when the worker is ready."""
    on_leaving: Callable[[], None] = staticmethod(_nothing_to_leave)
    """Is told that no more tasks will come; set when the worker is ready."""
    slots: Callable[[], Mapping[str, int]] = staticmethod(_no_slots)
    """Requests at once per model, as heartbeats say it; set when the worker is ready."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Celery makes it; threads start when they are needed."""
        super().__init__(*args, **kwargs)
        self.executor = ThreadPoolExecutor(self.limit, thread_name_prefix="slot")

    def on_apply(  # type: ignore[override]  # celery-types says None
        self,
        target: Target,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        callback: Callable[[Any], Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        **_: Any,  # noqa: ANN401
    ) -> Started:
        """Run one task on a free thread."""
        self.executor.submit(
            _run, target, args or (), kwargs or {}, callback, accept_callback
        )
        return Started()

    def terminate_job(self, pid: int, signal: object = None) -> None:  # noqa: ARG002
        """Cancel what a thread does (cold shutdown, `revoke --terminate`).

        Args:
            pid: the thread's identity, which `_run` gave Celery as process id.
            signal: threads take none.
        """
        self.on_cancel(pid)

    def on_close(self) -> None:
        """Say that the worker goes, on whatever way: a signal, or remote control."""
        self.on_leaving()

    def on_terminate(self) -> None:
        """Wait for the threads; what they did was cancelled before."""
        self.executor.shutdown(wait=True, cancel_futures=True)

    def grow(self, n: int = 1) -> None:
        """Allow more tasks at once (`celery control pool_grow`)."""
        self._resize(self.limit + n)

    def shrink(self, n: int = 1) -> None:
        """Allow fewer at once; idle threads stay, as they cost nothing."""
        self._resize(max(1, self.limit - n))

    def _get_info(self) -> Any:  # noqa: ANN401  (Celery's own type is narrower)
        """Return what `celery inspect stats` and Flower show of the pool."""
        info = super()._get_info()  # type: ignore[misc]  # celery-types has it not
        return {**info, "slots": dict(self.slots())}

    def _resize(self, limit: int) -> None:
        self.limit = limit
        self.executor._max_workers = limit  # noqa: SLF001  (there is no other way)


def _run(
    target: Target,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    callback: Callable[[Any], Any] | None,
    accept_callback: Callable[..., Any] | None,
) -> None:
    try:
        if accept_callback is not None:
            accept_callback(threading.get_ident(), time.monotonic())
        result = target(*args, **kwargs)
        if callback is not None:
            callback(result)
    except BaseException as error:  # noqa: BLE001  (nobody else would hear of it)
        escaped = type(error).__name__
    else:
        return
    # Celery's pool drops it in a future that nobody reads, and counts the slot as busy
    # for ever. The doorbell may be forgotten: the ledger has it rung again.
    logger.critical("%s escaped from a task; its slot is free again", escaped)
    if callback is not None:
        callback((True, _rejection(escaped), 0.0))


def _rejection(reason: str) -> ExceptionInfo:
    try:
        _reject(reason)  # raised, as ExceptionInfo wants a traceback
    except Reject:
        return ExceptionInfo()


def _reject(reason: str) -> NoReturn:
    raise Reject(reason, requeue=False)
