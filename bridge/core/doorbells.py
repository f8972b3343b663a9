"""Whom the dispatcher wakes: parked slots that have something listed, one doorbell each.

A doorbell reserves nothing and may be lost. So what is rung for and stands there still is
rung for again, after pauses that grow.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agentsched.ledger.turns import Member, Parked
from agentsched.scheduling.board import Board
from agentsched.scheduling.lists import Lists
from agentsched.scheduling.supply import Supply

FIRST_PAUSE_MS = 250
"""A doorbell is with its worker within some milliseconds; then it is rung again."""
MAX_PAUSE_MS = 16_000


@dataclass(slots=True)
class _Rung:
    model: str
    until_ms: int
    """It is not rung for again before."""
    pause_ms: int
    lies_until_ms: int
    """So long a parked slot is expected to come for it."""


@dataclass(slots=True)
class Bells:
    """Which doorbells are under way, and which slots are parked."""

    parked: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """Models -> parked slots that may run them, by the last answer."""
    again: Counter[str] = field(default_factory=Counter)
    """Of the doorbells that were chosen last: those that ring once more, by model."""
    _rung: dict[str, _Rung] = field(default_factory=dict)
    _again_ms: int | None = None

    def park(self, parked: Iterable[Parked]) -> None:
        """Take over what the ledger says."""
        self.parked = Counter()
        for one in parked:
            self.parked[one.models] += one.slots

    def taken(self, key: str, model: str) -> None:
        """A slot took this; where no doorbell named it, one named what stood beside it."""
        if self._rung.pop(key, None) is None:
            for rung in self._rung.values():
                if rung.model == model and rung.lies_until_ms:
                    rung.lies_until_ms = 0  # whom it woke is busy now
                    return

    def is_due(self, now_ms: int) -> bool:
        """Return, once, that something may have to be rung for again."""
        if self._again_ms is None or now_ms < self._again_ms:
            return False
        self._again_ms = None
        return True

    def choose(
        self, board: Board, supply: Supply, lists: Lists, now_ms: int
    ) -> list[tuple[Member, str]]:
        """Return for which members to ring now, each with the model whose queue it is.

        `again` has then for how many of them it is not the first time.
        """
        self.again = Counter()
        self._rung = {k: rung for k, rung in self._rung.items() if board.entry(k)}
        chosen: list[tuple[Member, str]] = []
        lying = Counter(
            rung.model for rung in self._rung.values() if rung.lies_until_ms > now_ms
        )
        most = supply.room_over_all(board) - lying.total()
        for models, slots in self.parked.items():
            own = [model for model in lists if model in models]
            free = min(most, slots - sum(lying[model] for model in own))
            room = {m: supply.room(board, m) - lying[m] for m in own}
            for member, model in _in_order(board, lists, own) if free > 0 else ():
                if free <= 0:
                    break
                if room[model] <= 0 or not self._note(member.key, model, now_ms):
                    continue
                chosen.append((member, model))
                lying[model] += 1
                room[model] -= 1
                free -= 1
                most -= 1
        self._plan_again()
        return chosen

    def _note(self, key: str, model: str, now_ms: int) -> bool:
        """Count a doorbell as sent; False where it was, a moment ago."""
        before = self._rung.get(key)
        if before is not None and now_ms < before.until_ms:
            return False
        pause_ms = FIRST_PAUSE_MS
        if before is not None:
            self.again[model] += 1
            pause_ms = min(2 * before.pause_ms, MAX_PAUSE_MS)
        lies_until_ms = now_ms + FIRST_PAUSE_MS
        self._rung[key] = _Rung(model, now_ms + pause_ms, pause_ms, lies_until_ms)
        return True

    def _plan_again(self) -> None:
        until_ms = (rung.until_ms for rung in self._rung.values())
        self._again_ms = min(until_ms, default=None)


def _in_order(
    board: Board, lists: Lists, models: list[str]
) -> Iterator[tuple[Member, str]]:
    """Yield what is listed for some models, first come first, each once."""
    seen: set[str] = set()
    listed = [[(one, model) for one in lists.first(board, model)] for model in models]
    for member, model in heapq.merge(*listed, key=lambda each: each[0].order):
        if member.key not in seen:
            seen.add(member.key)
            yield member, model
