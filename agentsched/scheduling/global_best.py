"""The most urgent requests over all models, where a limit over all of them binds.

Each model's own best would be wrong there: whose slot ends first would start it, however
urgent what waits for another model.
"""

import heapq
from collections.abc import Iterator, Mapping
from itertools import islice

from agentsched.ledger.turns import MAX_LISTED, Member
from agentsched.scheduling.board import Board, merged
from agentsched.scheduling.order import Rank, RankedQueue
from agentsched.scheduling.supply import Supply

MAX_PASSED = 4 * MAX_LISTED
"""Requests of models without a free slot that are listed beside them."""
MAX_SUSPECTS = MAX_LISTED // 4
"""Suspects that are listed beside all others."""


def global_best(
    board: Board, supply: Supply, owed: Mapping[str, list[str]], at_least: int
) -> dict[str, list[Member]]:
    """Return model -> what may start there, first come first.

    Args:
        board: what waits, and which slots are in use.
        supply: the limits.
        owed: by model, the classes to which a start is owed.
        at_least: how many are listed even while there is no room: somebody ends soon.
    """
    wanted = min(MAX_LISTED, max(at_least, supply.room_over_all(board)))
    found: dict[str, bool] = {}
    """Key -> whether a floor put it in front."""
    last: Rank | None = None
    suspects = 0
    for place, is_owed in _in_order(board, supply, owed):
        if len(found) - suspects >= wanted:
            break
        if place[4] in found:
            continue
        if board.is_suspect(place[4]):  # it may find no child process to run in
            if suspects >= MAX_SUSPECTS:
                continue
            suspects += 1
        found[place[4]], last = is_owed, last if is_owed else place
    is_full = len(found) - suspects >= wanted
    # Who cannot start keeps nobody from it: its models have no free slot.
    for place in _beside(board, supply):
        if is_full and (last is None or last < place):
            break
        found.setdefault(place[4], False)
    return _by_model(board, supply, found)


def _by_model(
    board: Board, supply: Supply, found: Mapping[str, bool]
) -> dict[str, list[Member]]:
    lists: dict[str, list[Member]] = {}
    in_order = sorted(
        (not is_owed, board.rank_of(key)) for key, is_owed in found.items()
    )
    for is_not_owed, place in in_order:
        entry = board.entry(place[4])
        member = board.member(place, owed=not is_not_owed)
        for model in entry.facts.models if entry else ():
            if model not in supply.capacity:
                continue
            if len(listed := lists.setdefault(model, [])) < MAX_LISTED:
                listed.append(member)
    return lists


def _in_order(
    board: Board, supply: Supply, owed: Mapping[str, list[str]]
) -> Iterator[tuple[Rank, bool]]:
    """Yield what has a free slot at one of its models, and whether a floor is owed."""
    heads = [
        place
        for model, classes in owed.items()
        if model in supply.capacity and _has_room(board, supply, model)
        for cls in dict.fromkeys(classes)
        for place, _ in zip(
            board.in_order(model, cls), range(classes.count(cls)), strict=False
        )
    ]
    yield from ((place, True) for place in sorted(heads))
    queues = _queues(board, supply, has_room=True)
    yield from ((place, False) for place in merged(queues))


def _beside(board: Board, supply: Supply) -> Iterator[Rank]:
    """Yield what has no free slot, for the one that ends next: some of each flow."""
    queues = _queues(board, supply, has_room=False)
    each = min(MAX_LISTED, max(1, MAX_PASSED // max(1, len(queues))))
    return heapq.merge(*(islice(queue, each) for queue in queues))


def _queues(board: Board, supply: Supply, *, has_room: bool) -> list[RankedQueue]:
    return [
        queue
        for (models, _), queue in board.flows()
        if (able := [model for model in models if model in supply.capacity])
        and has_room == any(_has_room(board, supply, model) for model in able)
    ]


def _has_room(board: Board, supply: Supply, model: str) -> bool:
    return supply.live(model) > board.in_use(model)
