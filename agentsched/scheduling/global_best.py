"""The most urgent requests over all models, where a limit over all of them binds.

Each model's own best would be wrong there: whose slot ends first would start it, however
urgent what waits for another model.
"""

from collections.abc import Iterator, Mapping

from agentsched.ledger.turns import MAX_LISTED, Member
from agentsched.scheduling.board import Board, merged
from agentsched.scheduling.order import CLASSES, Rank
from agentsched.scheduling.supply import Supply

MAX_PASSED = 4 * MAX_LISTED
"""Requests of models without a free slot that are listed beside them."""


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
    lists: dict[str, list[Member]] = {}
    seen: set[str] = set()
    for number, (place, is_owed) in enumerate(_in_order(board, supply, owed)):
        if wanted <= 0 or number >= MAX_PASSED:
            break
        key = place[4]
        entry = board.entry(key)
        if key in seen or entry is None:
            continue
        seen.add(key)
        member = board.member(place, owed=is_owed)
        models = [model for model in entry.facts.models if model in supply.capacity]
        for model in models:
            if len(listed := lists.setdefault(model, [])) < MAX_LISTED:
                listed.append(member)
        # Who cannot start keeps nobody from it: its models have no free slot.
        wanted -= any(_has_room(board, supply, model) for model in models)
    return lists


def _in_order(
    board: Board, supply: Supply, owed: Mapping[str, list[str]]
) -> Iterator[tuple[Rank, bool]]:
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
    for cls in CLASSES:
        queues = [
            queue
            for (models, flow_cls), queue in board.flows()
            if flow_cls == cls and any(model in supply.capacity for model in models)
        ]
        yield from ((place, False) for place in merged(queues))


def _has_room(board: Board, supply: Supply, model: str) -> bool:
    return supply.live(model) > board.in_use(model)
