"""Owns the arithmetic of the demo: what was accepted, answered, lost; pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from agentsched.types import Message, Priority, Reply, TaskStatus


@dataclass(frozen=True, slots=True)
class ClassRow:
    """What became of the requests of one class."""

    cls: Priority
    accepted: int
    answered: int
    wait_p50_s: float | None
    wait_p95_s: float | None
    """From the broker's append time to the call; None without an answer."""


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """What became of all requests."""

    accepted: int
    answered: int
    failed: Mapping[str, int]
    """error code -> answers that carry it."""
    classes: tuple[ClassRow, ...]

    @property
    def lost(self) -> int:
        """Accepted requests without a terminal reply."""
        return self.accepted - self.answered

    @property
    def is_good(self) -> bool:
        """Whether everything accepted was answered, and nothing failed."""
        return self.accepted > 0 and self.lost == 0 and not self.failed


def demo_outcome(
    requests: Iterable[Message], accepted: Collection[str], replies: Iterable[Reply]
) -> DemoOutcome:
    """Compare what was accepted with what came back.

    Args:
        requests: all that were sent.
        accepted: correlation ids that Kafka acknowledged.
        replies: as they came; repetitions and strangers do not count.
    """
    first: dict[str, Reply] = {}
    for reply in replies:
        if reply.correlation_id in accepted:
            first.setdefault(str(reply.correlation_id), reply)
    sent = [r for r in requests if r.correlation_id in accepted]
    codes = Counter(
        reply.error.code if reply.error else "(no code)"
        for reply in first.values()
        if reply.status is not TaskStatus.COMPLETED
    )
    rows = tuple(_row(cls, sent, first) for cls in Priority)
    return DemoOutcome(len(sent), len(first), dict(codes), rows)


def percentile(values: Iterable[float], share: float) -> float | None:
    """The nearest-rank percentile; None of nothing.

    Args:
        values: in any order.
        share: 0 to 1.
    """
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _row(cls: Priority, sent: list[Message], first: Mapping[str, Reply]) -> ClassRow:
    ids = [str(request.correlation_id) for request in sent if request.priority is cls]
    replies = [first[key] for key in ids if key in first]
    waits = [reply.timing.queued_s for reply in replies if reply.timing]
    return ClassRow(
        cls, len(ids), len(replies), percentile(waits, 0.5), percentile(waits, 0.95)
    )
