"""Who stands before whom: the rank of a request, and a queue in that order."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import chain

from agentsched.types import Priority
from agentsched.wire.request_facts import RequestFacts

CLASSES: tuple[str, ...] = tuple(priority.value for priority in Priority)
"""The class bands, most urgent first."""

Rank = tuple[int, int, int, int, str]
"""Smaller runs first: class band, deadline, arrival, offset, key."""

CHUNK = 512
"""Ranks that are moved at the most to put one between them."""
DEADLINE_BITS = 42
"""Of a time in ms: enough until the year 2109."""

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


def order_of(place: Rank, *, owed: bool = False) -> int:
    """Return a rank as one number, less than 2**45, that orders members of several lists.

    Args:
        place: the rank; arrival and what follows do not count.
        owed: a floor is owed to its class: it stands before all others.
    """
    band = 0 if owed else place[0] + 1
    deadline_ms = min(max(place[1], 0), (1 << DEADLINE_BITS) - 1)
    return band << DEADLINE_BITS | deadline_ms


class RankedQueue:
    """Ranks in their order; adding and removing cost O(log n), the first n O(n).

    A sorted list in pieces: a heap could not tell who stands second.
    """

    def __init__(self) -> None:
        self._chunks: list[list[Rank]] = []
        self._lasts: list[Rank] = []
        """The last rank of each chunk."""
        self._count = 0

    def __len__(self) -> int:
        """Return how many are queued."""
        return self._count

    def __iter__(self) -> Iterator[Rank]:
        """Yield all that are queued, best first."""
        return chain.from_iterable(self._chunks)

    def best(self) -> Rank | None:
        """Return the first; None when empty."""
        return self._chunks[0][0] if self._chunks else None

    def add(self, place: Rank) -> None:
        """Queue a rank that is not queued."""
        self._count += 1
        if not self._chunks:
            self._chunks.append([place])
            self._lasts.append(place)
            return
        at = min(bisect_left(self._lasts, place), len(self._chunks) - 1)
        chunk = self._chunks[at]
        insort(chunk, place)
        self._lasts[at] = chunk[-1]
        if len(chunk) > 2 * CHUNK:
            self._chunks.insert(at + 1, chunk[CHUNK:])
            del chunk[CHUNK:]
            self._lasts[at : at + 1] = [chunk[-1], self._chunks[at + 1][-1]]

    def discard(self, place: Rank) -> None:
        """Take a rank out, if it is queued."""
        at = bisect_left(self._lasts, place)
        if at == len(self._chunks):
            return
        chunk = self._chunks[at]
        inside = bisect_left(chunk, place)
        if chunk[inside] != place:
            return
        del chunk[inside]
        self._count -= 1
        if chunk:
            self._lasts[at] = chunk[-1]
        else:
            del self._chunks[at], self._lasts[at]
