"""The time of a worker process: a clock that never goes back, and events to wait for.

Everything in a worker that asks for the time or waits for a stop asks here, so that a
simulation can run the worker's real code on a clock of its own.
"""

import threading
from time import monotonic


class Clock:
    """This machine's monotonic clock."""

    def now_s(self) -> float:
        """Return seconds since some fixed moment; they never go back."""
        return monotonic()

    def event(self) -> threading.Event:
        """Make an event whose `wait` runs on this clock."""
        return threading.Event()
