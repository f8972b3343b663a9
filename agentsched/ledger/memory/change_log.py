"""The change log of the ledger in memory; nothing here locks."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import replace

from agentsched.ledger.values import CHANGES_KEPT, Change, log_position


class ChangeLog:
    """What has changed, oldest first; the newest `CHANGES_KEPT` are kept.

    Args:
        clock_ms: the time in milliseconds.
    """

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self.last = (0, 0)
        """Milliseconds and number of the newest change: another one after each."""
        self._clock_ms = clock_ms
        self._changes: list[Change] = []

    @property
    def cursor(self) -> str:
        """Where the log ends: what comes later is after it."""
        return "{}-{}".format(*self.last)

    def emit(self, change: Change) -> None:
        """Write a change, at the end."""
        last_ms, number = self.last
        now_ms = max(self._clock_ms(), last_ms)
        self.last = (now_ms, number + 1 if now_ms == last_ms else 0)
        self._changes.append(replace(change, at=self.cursor))
        del self._changes[:-CHANGES_KEPT]

    def after(self, cursor: str) -> list[Change]:
        """Return what came later than a place in the log."""
        return self._changes[
            bisect_right(self._changes, log_position(cursor), key=_at) :
        ]

    def forgot(self, last_change: str) -> bool:
        """Whether a change that was read at this place is missing, and not by age."""
        changes = self._changes
        at = bisect_left(changes, log_position(last_change), key=_at)
        if at == 0 and len(changes) >= CHANGES_KEPT:
            return changes[0].at != last_change  # trimmed, or the oldest that is kept
        return at == len(changes) or changes[at].at != last_change


def _at(change: Change) -> tuple[int, int]:
    return log_position(change.at)
