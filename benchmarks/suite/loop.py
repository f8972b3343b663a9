"""Runs a coroutine on uvloop, where that is installed: `make bench` does it."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

try:
    import uvloop
except ImportError:
    uvloop = None

T = TypeVar("T")


def run(main: Coroutine[None, None, T]) -> T:
    """Run it to its end; blocks."""
    return asyncio.run(main) if uvloop is None else uvloop.run(main)
