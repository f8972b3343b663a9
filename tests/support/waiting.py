"""Waiting for what can be observed, with a deadline; the tests' only way to wait."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.02


def eventually(
    predicate: Callable[[], T], *, timeout_s: float = 10.0, message: str = ""
) -> T:
    """Return the first truthy value of `predicate`, asked every 20 ms.

    Raises:
        AssertionError: with `message` and the last value, after `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            what = message or "what was waited for did not happen"
            raise AssertionError(f"{what} (within {timeout_s:g} s; last: {value!r})")
        time.sleep(POLL_S)
