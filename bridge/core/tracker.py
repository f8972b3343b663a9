"""Which offsets of one partition are answered, and what may be committed."""

from collections import deque

COMPACT_OVER = 1024
"""Done offsets that may stay behind an open one, beside as many as are open."""


class OffsetTracker:
    """Offsets that were read and are not yet done; offsets may have gaps.

    The watermark is the lowest of them, or, when there is none, the offset after
    the last that was read: everything below it is answered.
    """

    def __init__(self, start: int) -> None:
        self._next = start
        self._open: set[int] = set()
        self._order: deque[int] = deque()

    def read(self, offset: int) -> bool:
        """Note an offset that was read; False when it had been read before."""
        if offset < self._next:
            return False
        self._next = offset + 1
        self._open.add(offset)
        self._order.append(offset)
        return True

    def done(self, offset: int) -> bool:
        """Note an offset as answered; False when it was not open."""
        if offset not in self._open:
            return False
        self._open.remove(offset)
        if len(self._order) > 2 * len(self._open) + COMPACT_OVER:
            self._order = deque(o for o in self._order if o in self._open)
        return True

    @property
    def watermark(self) -> int:
        """The offset that may be committed."""
        while self._order and self._order[0] not in self._open:
            self._order.popleft()
        return self._order[0] if self._order else self._next

    @property
    def next_offset(self) -> int:
        """The offset after the last that was read."""
        return self._next

    def __len__(self) -> int:
        """Return how many offsets are open."""
        return len(self._open)
