"""Which offsets of one partition are answered, and what may be committed."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable


class OffsetTracker:
    """Answered offsets as runs, so that its size is that of the holes between them.

    The watermark is the lowest offset that is not answered: an open one, or, when
    there is none, the next to be read. Offsets may have gaps (compaction, markers and
    aborted records of transactions): what was jumped over counts as answered.
    """

    def __init__(self, start: int) -> None:
        self._watermark = self._next = start
        # Runs of answered offsets above the watermark: sorted, never touching.
        # In arrays: there may be as many as half of the records are.
        self._starts = array("q")
        self._stops = array("q")
        self._open = 0
        self.changes = 0
        """Grows whenever the watermark or the runs change."""

    def read(self, offset: int) -> bool:
        """Note an offset that was read; False when it was before, or is answered."""
        if offset < self._next:
            return False
        if offset > self._next:
            self.answered([range(self._next, offset)])
        self._next = max(self._next, offset + 1)
        if self._is_answered(offset):
            return False
        self._open += 1
        return True

    def done(self, offset: int) -> bool:
        """Note an offset as answered; False when it was not open."""
        if not self.is_open(offset):
            return False
        self._add(offset, offset + 1)
        return True

    def answered(self, runs: Iterable[range]) -> None:
        """Note offsets as answered, whether they were read or not."""
        for run in runs:
            start = max(run.start, self._watermark)
            if start < run.stop:
                self._add(start, run.stop)

    def is_open(self, offset: int) -> bool:
        """Return whether an offset was read and is not answered."""
        return offset < self._next and not self._is_answered(offset)

    @property
    def watermark(self) -> int:
        """The offset that may be committed: all below it are answered."""
        return self._watermark

    @property
    def next_offset(self) -> int:
        """The offset after the last that was read or is known to need no reading."""
        return self._next

    @property
    def runs(self) -> list[range]:
        """The answered offsets above the watermark, in order."""
        return self.first_runs(len(self._starts))

    def first_runs(self, most: int) -> list[range]:
        """Return the first of `runs`."""
        return list(map(range, self._starts[:most], self._stops[:most]))

    def __len__(self) -> int:
        """Return how many offsets are open."""
        return self._open

    def _is_answered(self, offset: int) -> bool:
        if offset < self._watermark:
            return True
        at = bisect_right(self._starts, offset) - 1
        return at >= 0 and offset < self._stops[at]

    def _add(self, start: int, stop: int) -> None:
        """Join a run to those that it overlaps or touches."""
        self.changes += 1
        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        joined = list(
            zip(self._starts[first:last], self._stops[first:last], strict=True)
        )
        known = sum(self._read_in(max(a, start), min(b, stop)) for a, b in joined)
        self._open -= self._read_in(start, stop) - known
        if joined:
            start, stop = min(start, joined[0][0]), max(stop, joined[-1][1])
        self._starts[first:last] = array("q", (start,))
        self._stops[first:last] = array("q", (stop,))
        if self._starts[0] <= self._watermark:
            del self._starts[0]
            self._watermark = self._stops.pop(0)
            self._next = max(self._next, self._watermark)

    def _read_in(self, start: int, stop: int) -> int:
        return max(0, min(stop, self._next) - start)
