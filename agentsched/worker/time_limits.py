"""Celery's time limits, as they apply to the call of one request.

The soft limit asks: the call is cancelled, its connection is closed, then the request
is answered. The hard limit does not wait for that. Nothing here answers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from agentsched.errors import CallFailed, ErrorCode

T = TypeVar("T")

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


async def wait_for(call: "asyncio.Task[T]", limits: TimeLimits) -> T:
    """Await a call, and cancel it at the hard limit.

    Raises:
        CallFailed: TIME_LIMIT_EXCEEDED, after the call has ended; or as the call.
        CancelledError: it was cancelled, and has ended.
        TimeoutError: it was cancelled at the limit, and does not end.
    """
    if limits.hard_s is None:
        return await call
    await asyncio.wait({call}, timeout=limits.hard_s)
    if not call.done():
        call.cancel()
        await asyncio.wait({call}, timeout=CLOSE_S)
        if not call.done():
            raise TimeoutError
        if call.cancelled():
            raise exceeded("hard", limits.hard_s)
    return call.result()


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
