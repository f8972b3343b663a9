"""The change log of the ledger in memory; nothing here locks."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from agentsched.ledger.values import CHANGES_KEPT, Change, log_position

Group = tuple[Change, ...]
"""What one step changed: one entry of the log, in one place."""


class ChangeLog:
    """What has changed, oldest first; the newest `CHANGES_KEPT` entries are kept.

    Args:
        clock_ms: the time in milliseconds.
    """

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self.last = (0, 0)
        """Milliseconds and number of the newest entry: another one after each."""
        self._clock_ms = clock_ms
        self._entries: list[Group] = []
        self._open: list[Change] | None = None

    @property
    def cursor(self) -> str:
        """Where the log ends: what comes later is after it."""
        return "{}-{}".format(*self.last)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what is emitted meanwhile as one entry."""
        self._open = []
        try:
            yield
        finally:
            changes, self._open = self._open, None
            if changes:
                self._append(tuple(changes))

    def emit(self, change: Change) -> None:
        """Write a change, at the end."""
        if self._open is None:
            self._append((change,))
        else:
            self._open.append(change)

    def _append(self, changes: Group) -> None:
        last_ms, number = self.last
        now_ms = max(self._clock_ms(), last_ms)
        self.last = (now_ms, number + 1 if now_ms == last_ms else 0)
        at = self.cursor
        self._entries.append(tuple(replace(change, at=at) for change in changes))
        del self._entries[:-CHANGES_KEPT]

    def after(self, cursor: str, limit: int = CHANGES_KEPT) -> list[Change]:
        """Return what came later than a place in the log: `limit` entries at most."""
        first = bisect_right(self._entries, log_position(cursor), key=_at)
        page = self._entries[first : first + limit]
        return [change for changes in page for change in changes]

    def forgot(self, last_change: str) -> bool:
        """Whether an entry that was read at this place is missing, and not by age."""
        entries = self._entries
        at = bisect_left(entries, log_position(last_change), key=_at)
        if at == 0 and len(entries) >= CHANGES_KEPT:
            return (
                entries[0][0].at != last_change
            )  # trimmed, or the oldest that is kept
        return at == len(entries) or entries[at][0].at != last_change


def _at(changes: Group) -> tuple[int, int]:
    return log_position(changes[0].at)
