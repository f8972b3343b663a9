"""Owns what Ctrl-C and SIGTERM do to a command: both ask for an orderly end, once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # A second one must not cut the orderly end short: every step of it is bounded.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def orderly_end() -> Iterator[None]:
    """Let the first SIGINT or SIGTERM raise KeyboardInterrupt; ignore later ones.

    Main thread only. The former handlers are back afterwards.
    """
    former = {number: signal.signal(number, _interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
