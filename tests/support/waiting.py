"""Waiting for what can be observed, with a deadline; the tests' only way to wait."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

POLL_S, MAX_POLL_S = 0.02, 2.0
PATIENCE = 4
"""Deadlines are written for a machine that does nothing else; this is for all others.

It costs nothing but when a test fails: no verdict depends on how fast the machine is.
"""
TIMED = "TIMED"
"""The variable that says that the machine does nothing but one test (`test-long`)."""


def eventually(
    predicate: Callable[[], T], *, timeout_s: float = 10.0, message: str = ""
) -> T:
    """Return the first truthy value of `predicate`, asked every 20 ms.

    Less often where to ask takes long, as it does by a command: others need the cores.

    Args:
        predicate: what is waited for.
        timeout_s: how long it may take on an idle machine; `PATIENCE` times that here.
        message: what did not happen.

    Raises:
        AssertionError: with `message` and the last value, after that time.
    """
    limit_s = timeout_s * PATIENCE
    deadline = time.monotonic() + limit_s
    while True:
        asked_s = time.monotonic()
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            what = message or "what was waited for did not happen"
            raise AssertionError(f"{what} (within {limit_s:g} s; last: {value!r})")
        took_s = time.monotonic() - asked_s
        time.sleep(min(max(POLL_S, 2 * took_s), MAX_POLL_S))


def is_timed() -> bool:
    """Whether a time says something in this run."""
    return bool(os.environ.get(TIMED))


@contextmanager
def promised(limit_s: float) -> Iterator[None]:
    """A time that is a promise; asserted where it is measured alone, mark: `timed`."""
    began_s = time.monotonic()
    yield
    took_s = time.monotonic() - began_s
    if is_timed():
        assert took_s <= limit_s, f"it took {took_s:.2f} s instead of {limit_s:g} s"
