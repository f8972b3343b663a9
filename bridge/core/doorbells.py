"""Whom the dispatcher wakes: parked slots that have something listed, one doorbell each.

A doorbell reserves nothing and may be lost. So what is rung for and stands there still is
rung for again, after pauses that grow.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agentsched.ledger.turns import Member, Parked
from agentsched.scheduling.board import Board
from agentsched.scheduling.lists import Lists
from agentsched.scheduling.supply import Supply

FIRST_PAUSE_MS = 250
"""A doorbell is with its worker within some milliseconds; then it is rung again."""
MAX_PAUSE_MS = 16_000


Group = tuple[str, ...]
"""The models that a worker process serves; parked slots of one group are alike."""


@dataclass(slots=True)
class _Rung:
    group: Group
    """For whose slot it was; empty: that slot is busy now."""
    model: str
    until_ms: int
    """Its member is not named again before."""
    pause_ms: int
    slot_until_ms: int
    """Nor is the slot woken again."""
    lies_until_ms: int
    """So long the slot is expected to come for it."""


@dataclass(slots=True)
class Bells:
    """Which doorbells are under way, and which slots are parked."""

    parked: Counter[Group] = field(default_factory=Counter)
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
                if rung.model == model and rung.group:
                    # Whom it woke is busy now.
                    rung.group, rung.lies_until_ms = (), 0
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
        silent = self._drop_old(board, now_ms)
        chosen: list[tuple[Member, str]] = []
        lying = Counter(
            rung.model for rung in self._rung.values() if rung.lies_until_ms > now_ms
        )
        woken = Counter(
            rung.group for rung in self._rung.values() if rung.slot_until_ms > now_ms
        )
        most = supply.room_over_all(board) - lying.total()
        for group, slots in self.parked.items():
            free = min(most, slots - woken[group])
            if free <= 0:
                continue
            room = {m: supply.room(board, m) - lying[m] for m in group if m in lists}
            open_models = [model for model in room if room[model] > 0]
            for member, model in _in_order(board, lists, open_models):
                if room[model] <= 0 or member.key in self._rung:
                    continue
                before = silent[group, model].pop() if silent[group, model] else None
                is_suspect = board.is_suspect(member.key)
                self._note(
                    member.key, group, model, before, now_ms, is_suspect=is_suspect
                )
                chosen.append((member, model))
                lying[model] += 1
                room[model] -= 1
                free -= 1
                most -= 1
                if free <= 0:
                    break
        self._plan_again()
        return chosen

    def _drop_old(
        self, board: Board, now_ms: int
    ) -> defaultdict[tuple[Group, str], list[_Rung]]:
        """Forget doorbells that may ring again; returns those that nobody came for."""
        silent: defaultdict[tuple[Group, str], list[_Rung]] = defaultdict(list)
        kept: dict[str, _Rung] = {}
        for key, rung in self._rung.items():
            if board.entry(key) is None:
                continue
            if rung.until_ms > now_ms:
                kept[key] = rung
            else:
                silent[rung.group, rung.model].append(rung)
        self._rung = kept
        return silent

    def _note(  # noqa: PLR0913  (what a doorbell is)
        self,
        key: str,
        group: Group,
        model: str,
        before: _Rung | None,
        now_ms: int,
        *,
        is_suspect: bool,
    ) -> None:
        """Count a doorbell as sent.

        The pause grows with the slot that hears nothing, whichever member is named: else
        one such slot would be rung for four times a second, for one after the other.
        """
        pause_ms = FIRST_PAUSE_MS
        if before is not None:
            self.again[model] += 1
            pause_ms = min(2 * before.pause_ms, MAX_PAUSE_MS)
        lies_until_ms = now_ms + FIRST_PAUSE_MS
        until_ms = now_ms + pause_ms
        # It may hear well, and have no child process for this one.
        slot_until_ms = lies_until_ms if is_suspect else until_ms
        self._rung[key] = _Rung(
            group, model, until_ms, pause_ms, slot_until_ms, lies_until_ms
        )

    def _plan_again(self) -> None:
        until_ms = (rung.until_ms for rung in self._rung.values())
        self._again_ms = min(until_ms, default=None)


def _in_order(
    board: Board, lists: Lists, models: list[str]
) -> Iterator[tuple[Member, str]]:
    """Yield what is listed for some models, first come first, each once."""
    seen: set[str] = set()
    listed = [_named(board, lists, model) for model in models]
    for member, model in heapq.merge(*listed, key=lambda each: each[0].order):
        if member.key not in seen:
            seen.add(member.key)
            yield member, model


def _named(board: Board, lists: Lists, model: str) -> Iterator[tuple[Member, str]]:
    return ((member, model) for member in lists.first(board, model))
