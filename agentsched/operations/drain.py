"""What is still in flight while the system is drained; it changes nothing."""

from dataclasses import dataclass, field

from agentsched.ledger.protocol import WholeLedger
from agentsched.operations.status.reader import see


@dataclass(frozen=True, slots=True)
class Left:
    """What has not ended yet."""

    slots: dict[str, int] = field(default_factory=dict)
    """model -> slots in use."""
    unanswered: int = 0
    """Requests that bridges know to be started and not yet answered in Kafka."""
    unaware: int = 0
    """Live bridges that have not said that they see the drain: they may start more."""

    @property
    def requests(self) -> int:
        """How many requests have not ended."""
        return max(sum(self.slots.values()), self.unanswered)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in flight, and nothing can start."""
        return not (self.slots or self.unanswered or self.unaware)

    def __str__(self) -> str:
        models = [f"{name} {count}" for name, count in self.slots.items()]
        replies = self.unanswered - sum(self.slots.values())
        if replies > 0:
            models.append(f"replies on their way to Kafka {replies}")
        if self.unaware:
            models.append(f"bridges that do not know of it yet {self.unaware}")
        return ", ".join(models) or "nothing"


def left(ledger: WholeLedger) -> Left:
    """Look at what is in flight; see `Left`.

    Raises:
        LedgerUnavailable: Redis did not answer.
    """
    seen = see(ledger)
    slots: dict[str, int] = {}
    for pool in seen.pools:
        if pool.in_flight:
            slots[pool.model] = slots.get(pool.model, 0) + pool.in_flight
    reports = [one.report for one in seen.bridges]
    return Left(
        slots,
        unanswered=sum(report.in_flight for report in reports if report),
        unaware=sum(not (report and report.draining) for report in reports),
    )
