"""How much one thread has handed over to the loop that the loop has not taken yet.

The loop's inbox takes everything; who hands over much waits for room first. So what waits
there is bounded, however far the loop is behind.
"""

import threading
from collections.abc import Callable

Events = Callable[[], threading.Event]
"""Makes what threads wait on; the simulation has its own."""


class Room:
    """For one thread that gives, and one that takes.

    Args:
        most: when so much was given and not taken, there is no room; the last piece may
            go beyond it.
        make_event: makes what the giving thread waits on.
    """

    def __init__(self, most: int, make_event: Events = threading.Event) -> None:
        self._most = most
        self._given = self._taken = 0  # each is written by one thread only
        self._has_changed = make_event()

    def wait(self, timeout_s: float) -> bool:
        """Return whether there is room; waits up to `timeout_s` for it."""
        self._has_changed.clear()
        if self._is_full:
            self._has_changed.wait(timeout_s)
        return not self._is_full

    def give(self, size: int) -> None:
        """So much is handed over."""
        self._given += size

    def take(self, size: int) -> None:
        """So much of it is taken."""
        self._taken += size
        self._has_changed.set()

    @property
    def _is_full(self) -> bool:
        return self._given - self._taken >= self._most
