"""Which waiting request starts next, and at which endpoint of which model."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from agentsched.ledger.values import ReadyEntry, Slot
from agentsched.scheduling.board import Board
from agentsched.scheduling.floors import ClassFloors
from agentsched.scheduling.order import Rank, rank


@dataclass(frozen=True, slots=True)
class Supply:
    """What may run at once."""

    capacity: Mapping[tuple[str, str], int]
    """(model, endpoint) -> requests in flight."""
    live: Mapping[str, int]
    """model -> slots of its live workers."""
    max_in_flight: int = 0
    """Over all models; 0: no further limit."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The decision that one request starts."""

    entry: ReadyEntry
    model: str
    endpoint: str

    @property
    def slot(self) -> Slot:
        """The slot that it takes."""
        facts = self.entry.facts
        return Slot(facts.key, self.model, self.endpoint, facts.cls)


def plan(
    board: Board,
    supply: Supply,
    floors: dict[str, ClassFloors],
    now_ms: int,
    *,
    most: int = 200,
) -> list[Placement]:
    """Decide what starts now, in order, and note it on the board and in the floors.

    Args:
        board: entries and slots; the placements are taken on it at once.
        supply: the limits.
        floors: by model; the starts are charged.
        now_ms: the time for the slots that are taken.
        most: how many placements at the most.
    """
    placements: list[Placement] = []
    free = _free(board, supply)
    while len(placements) < most:
        placement = _next(board, free, supply, floors)
        if placement is None:
            break
        board.taken(placement.slot, now_ms)
        facts = placement.entry.facts
        floors[placement.model].charge(facts.key, facts.cls)
        free.take(placement.model, placement.endpoint)
        placements.append(placement)
    return placements


class _Free:
    """Slots that are left, while a plan is made."""

    def __init__(
        self, endpoints: dict[tuple[str, str], int], models: dict[str, int], total: int
    ) -> None:
        self.endpoints, self.models, self.total = endpoints, models, total

    def take(self, model: str, endpoint: str) -> None:
        self.endpoints[model, endpoint] -= 1
        self.models[model] -= 1
        self.total -= 1


def _free(board: Board, supply: Supply) -> _Free:
    endpoints = dict(supply.capacity)
    models = dict(supply.live)
    for slot in board.slots():
        if (slot.model, slot.endpoint) in endpoints:
            endpoints[slot.model, slot.endpoint] -= 1
        if slot.model in models:
            models[slot.model] -= 1
    limit = supply.max_in_flight or sys.maxsize
    return _Free(endpoints, models, limit - board.slots_in_use())


def _next(
    board: Board, free: _Free, supply: Supply, floors: dict[str, ClassFloors]
) -> Placement | None:
    """Return the most urgent start over all endpoints with a free slot.

    Ties (one request that several models may answer) go to the emptiest endpoint.
    """
    if free.total <= 0:
        return None
    best: tuple[bool, Rank, float] | None = None
    placement = None
    for (model, endpoint), left in free.endpoints.items():
        if left <= 0 or free.models.get(model, 0) <= 0:
            continue
        owed = floors[model].due(lambda cls, model=model: board.waits(model, cls))  # type: ignore[misc]
        entry = board.best(model, owed)
        if entry is None:
            continue
        load = 1 - left / supply.capacity[model, endpoint]
        score = (owed is None, rank(entry.facts), load)
        if best is None or score < best:
            best, placement = score, Placement(entry, model, endpoint)
    return placement
