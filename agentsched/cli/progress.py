"""Owns the display of a start or a stop: what is being done, and how long it took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def steps(console: Console, verb: str) -> Iterator[Callable[[str], None]]:
    """Show the step that is being done; without a terminal, one line for each.

    Args:
        console: where to.
        verb: `Starting` or `Stopping`.
    """
    started, last = time.monotonic(), ""

    def report(step: str) -> None:
        nonlocal last
        if step == last:
            return
        last = step
        if console.is_terminal:
            status.update(f"{verb}: {step}")
        else:
            console.print(f"{verb}: {step}", highlight=False)

    with console.status(f"{verb} ...") as status:
        yield report
    took_s = time.monotonic() - started
    console.print(f"{verb} took {took_s:.1f} s", highlight=False)
