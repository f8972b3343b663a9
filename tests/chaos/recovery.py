"""How long work stood still after a fault: until every partition answers something new.

It computes; what is too long is for the checker to say.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.history import Happened, RawReply
    from tests.chaos.traffic import Sent

Answered = Mapping[tuple[str, int], Sequence[tuple[float, float]]]
"""Per class and partition, in the order of sending: when sent, when answered."""


def answered(
    sent: "Sequence[Sent]", replies: "Sequence[RawReply]", epoch_ms: float
) -> Answered:
    """Say when each request was sent and first answered, in monotonic seconds.

    Args:
        sent: only plain requests whose partition is known count.
        replies: with the broker's time.
        epoch_ms: the wall clock when the monotonic one was 0.
    """
    first: dict[str, float] = {}
    for reply in replies:
        first.setdefault(reply.id, (reply.at_ms - epoch_ms) / 1000)
    found = defaultdict(list)
    for one in sent:
        if one.kind == "request" and one.partition >= 0 and one.id in first:
            found[one.cls, one.partition].append((one.sent_s, first[one.id]))
    return {where: sorted(times) for where, times in found.items()}


def recovery_s(fault: "Happened", times: Answered) -> float:
    """Return seconds from the fault's end until each partition answers again.

    What counts is the first answer after the fault's end to a request that was sent
    after its beginning.
    """
    worst = 0.0
    for each in times.values():
        later = each[bisect_left(each, (fault.started_s, 0.0)) :]
        after = [done_s for _, done_s in later if done_s >= fault.ended_s]
        if after:
            worst = max(worst, min(after) - fault.ended_s)
    return worst


def alone(fault: "Happened", faults: "Sequence[Happened]", within_s: float) -> bool:
    """Whether no other fault was under way from its beginning until `within_s` after."""
    return not any(
        other is not fault
        and other.started_s < fault.ended_s + within_s
        and other.ended_s + within_s > fault.started_s
        for other in faults
    )
