"""What may start in each pool, first come first: the lists that the dispatcher writes.

A list is written when something better came, when a floor is owed, or when it gets short;
workers take from it without asking. It knows of starts only what the board was told.
"""

from collections import Counter, deque
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from itertools import filterfalse, islice

from agentsched.ledger.turns import MAX_LISTED, Member, PoolList
from agentsched.scheduling.board import Board
from agentsched.scheduling.floors import ClassFloors
from agentsched.scheduling.global_best import global_best
from agentsched.scheduling.order import CLASSES, Rank
from agentsched.scheduling.supply import Supply

MAX_MEMBERS = 8_192
"""Of all lists in one plan: some milliseconds of Redis. The others are in the next one."""
SUSPECTS_PART = 4
"""Suspects have one place of so many in a list, at least one."""
ALL = ""
"""Stands for all models together."""


@dataclass(slots=True)
class _Listed:
    """What stands in the lists of one model."""

    members: deque[Member]
    endpoints: list[str]
    owed: list[tuple[str, Member]]
    """Those that stand in front because of a floor, with the class."""
    tail: Rank | None
    """What ranks after it does not belong in; None: all that waited is in."""
    is_partial: bool = False
    """It has only what is among the best over all models."""

    def left(self, board: Board) -> deque[Member]:
        """Return the members from the first that may start still."""
        while self.members and not board.may_start(self.members[0]):
            self.members.popleft()
        return self.members

    def holds(
        self, board: Board, added: Rank | None, owed: list[str], depth: int
    ) -> bool:
        """Return whether the lists may stay as they are."""
        if self.is_partial:
            return False
        if added is not None and (self.tail is None or added < self.tail):
            return False
        if owed != [cls for cls, member in self.owed if board.may_start(member)]:
            return False
        return self.tail is None or self._sound(board, depth) >= depth

    def _sound(self, board: Board, most: int) -> int:
        """Return how many, up to `most`, may start at any slot.

        Not only at the front something may stand in the way.
        """
        sound = filter(board.is_sound, self.left(board))
        return sum(1 for _ in islice(sound, most))


class Lists:
    """The lists of all pools, as they were written last.

    Args:
        floors: of each model that ever had something; models are added.
    """

    def __init__(self, floors: MutableMapping[str, ClassFloors]) -> None:
        self._floors = floors
        self._listed: dict[str, _Listed] = {}
        self._pace: dict[str, int] = {}
        self._owed: dict[str, list[str]] = {}
        self._again: dict[str, None] = {}
        self._unsure: dict[str, list[str]] = {}
        """Model -> endpoints whose lists may or may not be as they were written."""
        self._was_bound = False
        self.was_cut = False
        """The last plan would have been too large."""
        self.somebody_parked = False
        """More slots ended than began before `changed` was asked last."""

    def forget(self, board: Board) -> None:
        """Count as written nothing: what stands there is void, or not known."""
        self._again |= dict.fromkeys([*self._listed, *board.models()])
        self._unsure |= {model: old.endpoints for model, old in self._listed.items()}
        self._listed.clear()
        self.was_cut = False

    def changed(self, board: Board, supply: Supply, now_ms: int) -> list[PoolList]:
        """Return the lists that have to be written now, and count them as written."""
        starts, board.starts = board.starts, Counter()
        ends, board.ends = board.ends, Counter()
        news: dict[str, Rank | None] = dict.fromkeys(self._again)
        news.update(board.take_news())
        bound = supply.is_bound(board)
        if self._was_bound and not bound:
            news = dict.fromkeys(board.models()) | news
        self._again, self._was_bound, self.was_cut = {}, bound, False
        for model in news:
            self._owed[model] = self._owe(board, supply, model, now_ms)
            self._pace[model] = max(starts[model], self._pace.get(model, 0) // 2)
        # Else each slot that ended took its next.
        self.somebody_parked = any(ends[model] > starts[model] for model in ends)
        if bound:
            self._pace[ALL] = max(starts.total(), self._pace.get(ALL, 0) // 2)
            return self._best_of_all(board, supply)
        return self._refresh(board, supply, news)

    def first(self, board: Board, model: str) -> Iterator[Member]:
        """Yield what stands in the lists of a model and may start, first come first."""
        if (listed := self._listed.get(model)) is not None:
            yield from filter(board.may_start, listed.left(board))

    @property
    def is_behind(self) -> bool:
        """Whether lists have to be written though nothing has changed."""
        return bool(self._again)

    def __contains__(self, model: object) -> bool:
        """Whether the lists of a model have something."""
        return model in self._listed

    def __iter__(self) -> Iterator[str]:
        """Yield the models whose lists have something."""
        return iter(self._listed)

    def __bool__(self) -> bool:
        """Whether any list has something."""
        return bool(self._listed)

    def _owe(self, board: Board, supply: Supply, model: str, now_ms: int) -> list[str]:
        floors = self._floors.get(model)
        if floors is None:
            floors = self._floors[model] = ClassFloors()
        waiting = board.waiting(model)
        floors.pass_time(now_ms, supply.live(model), waiting)
        return floors.owed(waiting.__contains__)

    def _refresh(
        self, board: Board, supply: Supply, news: dict[str, Rank | None]
    ) -> list[PoolList]:
        lists: list[PoolList] = []
        members = 0
        for model, added in news.items():
            if members >= MAX_MEMBERS:
                self._again[model], self.was_cut = None, True
                continue
            capacity, owed = supply.capacity.get(model, 0), self._owed[model]
            depth = min(MAX_LISTED // 2, max(capacity, 2 * self._pace[model]))
            listed = self._listed.get(model)
            if capacity and listed and listed.holds(board, added, owed, depth):
                continue
            size = 2 * depth if capacity else 0
            best, owed_members, has_all = _best(board, model, owed, size)
            tail = None if has_all else _tail(board, best)
            written = self._write(
                model, supply, board, _Listed(deque(best), [], owed_members, tail)
            )
            members += sum(len(one.members) for one in written)
            lists += written
        return lists

    def _best_of_all(self, board: Board, supply: Supply) -> list[PoolList]:
        at_least = max(1, 2 * self._pace[ALL])
        best = global_best(board, supply, self._owed, at_least)
        return [
            written
            for model in dict.fromkeys([*self._listed, *self._unsure, *best])
            for written in self._write(
                model,
                supply,
                board,
                _Listed(deque(best.get(model, ())), [], [], None, is_partial=True),
            )
        ]

    def _write(
        self, model: str, supply: Supply, board: Board, new: _Listed
    ) -> list[PoolList]:
        """Note the lists of a model; returns them where they differ from before."""
        old = self._listed.pop(model, None)
        new.endpoints = supply.endpoints.get(model, [])
        unsure = self._unsure.pop(model, ())
        before = old.endpoints if old else unsure
        endpoints = dict.fromkeys([*new.endpoints, *before])
        if new.members:
            self._listed[model] = new
        if not unsure and (old.left(board) if old else deque()) == new.members:
            return []
        members = tuple(new.members)
        return [
            PoolList(model, one, members if one in new.endpoints else ())
            for one in endpoints
        ]


def _best(
    board: Board, model: str, owed: list[str], size: int
) -> tuple[list[Member], list[tuple[str, Member]], bool]:
    """Return the first of a model, those of them that a floor put there, and if that is all.

    Suspects have a part of the places only: they may find no child process to run in.
    """
    suspects: dict[str, None] = {}
    is_left_out = False

    def may_stand(place: Rank) -> bool:
        nonlocal is_left_out
        key = place[4]
        if not board.is_suspect(key) or key in suspects:
            return True
        if len(suspects) >= max(1, size // SUSPECTS_PART):
            is_left_out = True
            return False
        suspects[key] = None
        return True

    classes = {cls: board.in_order(model, cls) for cls in dict.fromkeys(owed)}
    in_front = [
        (cls, board.member(place, owed=True))
        for cls in owed[:size]
        if (place := next(filter(may_stand, classes[cls]), None)) is not None
    ]
    skipped = {member.key for _, member in in_front}
    places = (place for cls in CLASSES for place in board.in_order(model, cls))
    rest = filter(may_stand, filterfalse(lambda place: place[4] in skipped, places))
    members = [member for _, member in in_front]
    members += map(board.member, islice(rest, size - len(members)))
    return members, in_front, len(members) < size and not is_left_out


def _tail(board: Board, best: list[Member]) -> Rank | None:
    return max((board.rank_of(member.key) for member in best[-1:]), default=None)
