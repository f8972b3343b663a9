"""Whether what is urgent goes first: many low requests, then high ones."""

from benchmarks.suite.numbers import NS_PER_MS, begun_before_a_waiting, percentile
from benchmarks.suite.session import Session

MODEL_MS = 50.0
GRACE_MS = 100.0
PATIENCE_S = 180.0
BEFORE_HIGH_RATIO = 0.1
"""So much of the low ones is answered when the high ones come."""


def priority(session: Session, low: int = 2000, high: int = 200) -> dict[str, object]:
    """Send the low ones at once, and the high ones while those are worked on."""
    session.model.set_delay(MODEL_MS)
    load = session.load
    low_due = load.send("low", low)
    load.wait_for_count(low_due, round(low * BEFORE_HIGH_RATIO), PATIENCE_S)
    high_due = load.send("high", high)
    load.wait(low_due | high_due, PATIENCE_S)
    first: dict[str, int] = {}
    for call in session.calls(low_due | high_due):
        first.setdefault(call.id, call.started_ns)
    waits_ms = [(first[each] - due) / NS_PER_MS for each, due in high_due.items()]
    sent_ns = min(high_due.values())
    return {
        "low": low,
        "high": high,
        "failed": load.failed(low_due | high_due),
        "low_before_waiting_high": begun_before_a_waiting(
            [first[each] for each in low_due],
            [(due, first[each]) for each, due in high_due.items()],
            round(GRACE_MS * NS_PER_MS),
        ),
        "last_high_started_ms": max(first[each] - sent_ns for each in high_due)
        / NS_PER_MS,
        "high_wait_p50_ms": percentile(waits_ms, 50),
    }
