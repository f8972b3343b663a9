"""L1: how late an answer is, without the time in which a fault kept it back.

In a plan without faults nothing is taken out: an answer comes by its deadline and the
grace. With faults the time of each trouble is taken out, whomever it struck, from its
start until `AFTERMATH_MS` after its end, and once only where troubles overlap.
"""

from collections.abc import Iterable

from bridge.core.deadline import RECHECK_MS
from bridge.core.termination import WORKER_FIRST_MS
from tests.simulation.plan import Submission
from tests.simulation.world import Trouble

WAYS_MS = 2_000
"""A poll that finds nothing (0.95 s), a tick, the steps, and the way to Kafka."""
GRACE_MS = WORKER_FIRST_MS + RECHECK_MS + WAYS_MS
"""A worker has its five seconds, then a bridge looks; the design allows 30 s."""
AFTERMATH_MS = 6_000
"""The longest of: a dead bridge's session (3 s) or its way back (5 s), and a take-over;
a loss that is noticed (1 s), its grace (3 s) and the look into Kafka; a send that fails
(2 s) and comes again (2 s later)."""


def deadline_ms(submission: Submission, sent_ms: int, ttl_s: float) -> int:
    """Return when a request has to be answered; `ttl_s` where it states none."""
    stated_s = dict(submission.body).get("ttl_s", ttl_s)
    return sent_ms + round(stated_s * 1000)


def late_ms(due_ms: int, now_ms: int, troubles: Iterable[Trouble]) -> int:
    """Return the untroubled time from a deadline to now; 0 before it."""
    late, since_ms = 0, due_ms
    for one in sorted(troubles, key=lambda trouble: trouble.start_ms):
        late += max(0, min(one.start_ms, now_ms) - since_ms)
        since_ms = max(since_ms, one.end_ms + AFTERMATH_MS)
    return late + max(0, now_ms - since_ms)
