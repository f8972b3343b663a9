"""What the ledger in memory keeps of `plan` and `turn`; values only."""

from dataclasses import dataclass, field

from agentsched.ledger.turns import Member


@dataclass(slots=True)
class Listed:
    """The list of one pool; void unless its dispatcher leads and its revision holds."""

    dispatcher_id: str
    revision: int
    members: list[Member]


@dataclass(frozen=True, slots=True)
class LastTurn:
    """The last turn of a worker process, and (key, lease_id) of what it took."""

    number: int = 0
    takes: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Lists:
    """All that `plan` and `turn` keep in one epoch, beside the entries."""

    pools: dict[tuple[str, str], Listed] = field(default_factory=dict)
    """By (model, endpoint)."""
    plans: dict[str, int] = field(default_factory=dict)
    """The number of the last plan, by dispatcher."""
    turns: dict[str, LastTurn] = field(default_factory=dict)
    """By worker, while its heartbeat lives."""
