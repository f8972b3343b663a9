"""Queues of a million indexed requests, at the price of one pointer each.

And a queue of those in the ready set that begins at the other end.
"""

import heapq
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Place = tuple[int, int, int, str, str]
"""Where a request stands among those of its class, and which it is: deadline, arrival,
offset, key, source. Smaller runs first; no two requests have the same."""

Item = TypeVar("Item")

STALE_RATIO = 0.25
"""Places of removed requests that may stay beside those that count: each takes memory."""
STALE_LEAST = 64


class PlaceQueue(Generic[Item]):
    """Requests by place, best first; adding and taking cost O(log n), removal O(1).

    It holds places only, so that a request which is forgotten takes its payload along.

    Args:
        find: returns what was added with this very place; None when it was removed.
    """

    def __init__(self, find: Callable[[Place], Item | None]) -> None:
        self._find = find
        self._heap: list[Place] = []
        self._count = 0

    def __len__(self) -> int:
        """Return how many requests are queued."""
        return self._count

    def __iter__(self) -> Iterator[Item]:
        """Yield what is queued, in no order."""
        return (item for each in self._heap if (item := self._find(each)) is not None)

    def add(self, place: Place) -> None:
        """Queue what `find` returns for this place."""
        heapq.heappush(self._heap, place)
        self._count += 1

    def removed(self) -> None:
        """Count one less: `find` no longer returns something that was added."""
        self._count -= 1
        if len(self._heap) > (1 + STALE_RATIO) * self._count + STALE_LEAST:
            find = self._find
            self._heap = [each for each in self._heap if find(each) is not None]
            heapq.heapify(self._heap)

    def best(self) -> Item | None:
        """Return what runs first, without taking it; None when empty."""
        while self._heap:
            item = self._find(self._heap[0])
            if item is not None:
                return item
            heapq.heappop(self._heap)
        return None

    def count_before(self, place: Place) -> int:
        """Return how many requests run before a place; O(n)."""
        find = self._find
        return sum(each < place and find(each) is not None for each in self._heap)


class WorstQueue(Generic[Item]):
    """Requests by place, worst first; adding and taking cost O(log n), removal nothing.

    Args:
        find: returns what was added with this very place, while it belongs in.
    """

    def __init__(self, find: Callable[[Place], Item | None]) -> None:
        self._find = find
        self._heap: list[tuple[int, int, int, Place]] = []

    def __len__(self) -> int:
        """Return how many stand in it, those that do not belong in included."""
        return len(self._heap)

    def add(self, place: Place, present: int) -> None:
        """Queue what `find` returns for this place.

        Args:
            place: where it stands.
            present: how many belong in, at the most: that bounds what is kept.
        """
        heapq.heappush(self._heap, (-place[0], -place[1], -place[2], place))
        if len(self._heap) > 2 * present + STALE_LEAST:
            find = self._find
            kept = {id(each[3]): each for each in self._heap if find(each[3])}
            self._heap = list(kept.values())
            heapq.heapify(self._heap)

    def worst(self) -> Item | None:
        """Return what runs last, without taking it; None when empty."""
        while self._heap:
            item = self._find(self._heap[0][3])
            if item is not None:
                return item
            heapq.heappop(self._heap)
        return None
