"""Who stands before whom: the rank of a request, and a queue in that order."""

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from agentsched.types import Priority
from agentsched.wire.request_facts import RequestFacts

CLASSES: tuple[str, ...] = tuple(priority.value for priority in Priority)
"""The class bands, most urgent first."""

Rank = tuple[int, int, int, int, str]
"""Smaller runs first: class band, deadline, arrival, offset, key."""

Item = TypeVar("Item", bound=Hashable)

COMPACT_OVER = 64
"""Removed items that may stay in a heap beside as many as are queued."""

_BAND = {cls: number for number, cls in enumerate(CLASSES)}


def rank(facts: RequestFacts) -> Rank:
    """Return the place of a request: by class, then earliest deadline, then arrival."""
    return (
        _BAND[facts.cls],
        facts.deadline_ms,
        facts.arrival_ms,
        facts.offset,
        facts.key,
    )


class RankedQueue(Generic[Item]):
    """Items by rank, best first; adding and taking cost O(log n).

    Removed items stay in the heap until they surface, so that removal is O(1).
    """

    def __init__(self) -> None:
        self._ranks: dict[Item, Rank] = {}
        self._heap: list[tuple[Rank, int, Item]] = []
        self._added = 0

    def __len__(self) -> int:
        """Return how many items are queued."""
        return len(self._ranks)

    def __iter__(self) -> Iterator[Item]:
        """Yield what is queued, in no order."""
        return iter(self._ranks)

    def __contains__(self, item: Item) -> bool:
        """Return whether the item is queued."""
        return item in self._ranks

    def add(self, item: Item, place: Rank) -> None:
        """Queue an item, or move it to another place."""
        if self._ranks.get(item) == place:
            return
        self._ranks[item] = place
        self._added += 1  # breaks ties, so that items are never compared
        heapq.heappush(self._heap, (place, self._added, item))

    def discard(self, item: Item) -> None:
        """Take an item out, if it is queued."""
        self._ranks.pop(item, None)
        if len(self._heap) > 2 * len(self._ranks) + COMPACT_OVER:
            self._heap = [
                (place, number, queued)
                for place, number, queued in self._heap
                if self._ranks.get(queued) == place
            ]
            heapq.heapify(self._heap)

    def best(self) -> Item | None:
        """Return the item that runs first, without taking it; None when empty."""
        while self._heap:
            place, _, item = self._heap[0]
            if self._ranks.get(item) == place:
                return item
            heapq.heappop(self._heap)
        return None

    def count_before(self, place: Rank) -> int:
        """Return how many items run before a place; O(n)."""
        return sum(other < place for other in self._ranks.values())

    def rank_of(self, item: Item) -> Rank:
        """Return the place of a queued item."""
        return self._ranks[item]
