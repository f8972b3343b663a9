"""Celery's time limits, as they apply to the call of one request.

The soft limit asks: the call is cancelled, its connection is closed, then the request
is answered. The hard limit does not wait for that. Nothing here answers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Protocol, TypeVar

from agentsched.errors import CallFailed, ErrorCode

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

CLOSE_S = 1.0
"""How long a call may take to close its connection after the hard limit."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds from the start of the call; None (or 0): no limit but the deadline."""

    soft_s: float | None = None
    hard_s: float | None = None

    def over(self, other: "TimeLimits") -> "TimeLimits":
        """Return these limits, and the other's where there is none."""
        soft_s, hard_s = self.soft_s or other.soft_s, self.hard_s or other.hard_s
        return TimeLimits(soft_s or None, hard_s or None)


NO_LIMITS = TimeLimits()


class UnderWay(Protocol[T_co]):
    """A call on the call loop; see `agentsched.worker.call_loop.Call`."""

    def cancel(self) -> object:
        """Ask it to stop; does not block."""

    def result(self, timeout_s: float | None) -> T_co:
        """Wait for its end; TimeoutError: it has not ended."""


async def within(limits: TimeLimits, call: Callable[[], Awaitable[T]]) -> T:
    """Await a call, up to the soft limit.

    Raises:
        CallFailed: TIME_LIMIT_EXCEEDED, after the call has ended; or as the call.
    """
    if limits.soft_s is None:
        return await call()
    limit = asyncio.timeout(limits.soft_s)
    try:
        async with limit:
            return await call()
    except TimeoutError:
        if not limit.expired():
            raise
        raise exceeded("soft", limits.soft_s) from None


def wait_for(call: UnderWay[T], limits: TimeLimits) -> T:
    """Block until a call has ended, and cancel it at the hard limit.

    Raises:
        CallFailed: TIME_LIMIT_EXCEEDED, after the call has ended; or as the call.
        CancelledError: (of concurrent.futures) it was cancelled, and has ended.
        TimeoutError: it was cancelled at the limit, and does not end.
    """
    try:
        return call.result(limits.hard_s)
    except TimeoutError:
        call.cancel()
    try:
        return call.result(CLOSE_S)
    except CancelledError:
        raise exceeded("hard", limits.hard_s) from None


def exceeded(which: str, limit_s: float | None) -> CallFailed:
    """Return the failure of a call that ran into a limit.

    Args:
        which: `soft` or `hard`.
        limit_s: the limit.
    """
    return CallFailed(
        ErrorCode.TIME_LIMIT_EXCEEDED,
        f"the call took longer than the worker's {which} time limit of {limit_s:g} s",
        retryable=True,
    )
