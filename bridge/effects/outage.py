"""Whether somebody is asked at all who did not answer a moment ago."""

from collections.abc import Callable

DOWN_MS = 1_000
"""How long nobody is asked again after no answer."""


class Outage:
    """One step without an answer is enough for a while: each may block for a time-out.

    Args:
        now_ms: the clock.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._until_ms = 0

    @property
    def lasts(self) -> bool:
        """Whether it is too early to ask again."""
        return self._now_ms() < self._until_ms

    def begin(self) -> None:
        """There was no answer."""
        self._until_ms = self._now_ms() + DOWN_MS
