"""What a bridge keeps in the ready set: the best of each flow, within its share.

Requests that compete for the same models form a group. Half of the share is split evenly
over the groups that have something, so that a model that is down, or flooded, does
not push the others out; half by capacity, so that a large model is not starved by many
small ones. What runs does not count: it waits no more. Within a group every class that has something keeps a
tenth, so that the floors always find a request of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from agentsched.scheduling.order import CLASSES

CLASS_MINIMUM_RATIO = 0.1
"""Part of a group's quota that each class with something keeps (at least 1 entry)."""


@dataclass(frozen=True, slots=True)
class Moves:
    """How many of each class go into the ready set, and come out of it."""

    admit: dict[str, int]
    withdraw: dict[str, int]


def quota(share: int, groups: int, weight_ratio: float) -> int:
    """Return a group's part of a bridge's share, at least one entry.

    Args:
        share: of the bridge, in entries.
        groups: how many have something.
        weight_ratio: the group's part of the capacity of all that have something.
    """
    return max(1, int(share * (0.5 / max(1, groups) + 0.5 * weight_ratio)))


def target(present: Mapping[str, int], limit: int) -> dict[str, int]:
    """Return how many of each class belong into the ready set.

    Args:
        present: all that there is of each class, waiting or admitted.
        limit: the group's quota in entries.
    """
    aim = dict.fromkeys(CLASSES, 0)
    minimum = max(1, int(limit * CLASS_MINIMUM_RATIO))
    for most in (minimum, limit):
        for cls in CLASSES:
            room = limit - sum(aim.values())
            aim[cls] += max(
                0, min(room, present.get(cls, 0) - aim[cls], most - aim[cls])
            )
    return aim


def decide(
    waiting: Mapping[str, int],
    admitted: Mapping[str, int],
    leaving: Mapping[str, int],
    limit: int,
) -> Moves:
    """Decide how many of each class are admitted now, and withdrawn for better ones.

    Args:
        waiting: indexed and not in the ready set, by class.
        admitted: in the ready set or on the way there and not started, by class.
        leaving: of those admitted, what is being withdrawn already.
        limit: the group's quota in entries.
    """
    staying = {cls: admitted.get(cls, 0) - leaving.get(cls, 0) for cls in CLASSES}
    aim = target({cls: waiting.get(cls, 0) + staying[cls] for cls in CLASSES}, limit)
    room = limit - sum(admitted.values())
    moves = Moves({}, {})
    for cls in CLASSES:
        if (count := min(room, aim[cls] - staying[cls], waiting.get(cls, 0))) > 0:
            moves.admit[cls] = count
            room -= count
        if (count := staying[cls] - aim[cls]) > 0:
            moves.withdraw[cls] = count
    return moves
