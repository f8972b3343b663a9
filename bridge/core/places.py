"""Queues of a million indexed requests, at the price of one pointer each.

And a queue of those in the ready set that begins at the other end.
"""

import heapq
from collections.abc import Callable, Iterator
from itertools import chain
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
    Each partition has a heap of its own: a partition goes at once, however large, and what
    was removed is swept out of one heap at a time.

    Args:
        find: returns what was added with this very place; None when it was removed.
    """

    def __init__(self, find: Callable[[Place], Item | None]) -> None:
        self._find = find
        self._heaps: dict[str, list[Place]] = {}
        """By source."""
        self._counts: dict[str, int] = {}
        self._count = 0
        self._heads: list[Place] = []
        """A heap, too: the first of each source, and some that were first once."""

    def __len__(self) -> int:
        """Return how many requests are queued."""
        return self._count

    def __iter__(self) -> Iterator[Item]:
        """Yield what is queued, in no order."""
        return (
            item for each in self._places() if (item := self._find(each)) is not None
        )

    def add(self, place: Place) -> None:
        """Queue what `find` returns for this place."""
        source = place[4]
        heap = self._heaps.get(source)
        if heap is None:
            heap = self._heaps[source] = []
            self._counts[source] = 0
        heapq.heappush(heap, place)
        self._counts[source] += 1
        self._count += 1
        if heap[0] is place:
            self._lead(place)

    def removed(self, source: str) -> None:
        """Count one less: `find` no longer returns something that was added."""
        self._counts[source] -= 1
        self._count -= 1
        heap = self._heaps[source]
        if len(heap) > (1 + STALE_RATIO) * self._counts[source] + STALE_LEAST:
            find = self._find
            heap[:] = [each for each in heap if find(each) is not None]
            heapq.heapify(heap)
            if heap:
                self._lead(heap[0])

    def drop(self, source: str) -> None:
        """Forget all that was added of one source."""
        self._count -= self._counts.pop(source, 0)
        self._heaps.pop(source, None)

    def best(self) -> Item | None:
        """Return what runs first, without taking it; None when empty."""
        while self._heads:
            head = self._heads[0]
            heap = self._heaps.get(head[4])
            if heap and heap[0] is head:
                item = self._find(head)
                if item is not None:
                    return item
                heapq.heappop(heap)
                heapq.heappop(self._heads)
                if heap:
                    self._lead(heap[0])
            else:
                heapq.heappop(self._heads)  # it is first there no more
        return None

    def count_before(self, place: Place) -> int:
        """Return how many requests run before a place; O(n)."""
        find = self._find
        return sum(each < place and find(each) is not None for each in self._places())

    def _places(self) -> Iterator[Place]:
        return chain.from_iterable(self._heaps.values())

    def _lead(self, place: Place) -> None:
        heapq.heappush(self._heads, place)
        if len(self._heads) > 2 * len(self._heaps) + STALE_LEAST:
            self._heads = [heap[0] for heap in self._heaps.values() if heap]
            heapq.heapify(self._heads)


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
