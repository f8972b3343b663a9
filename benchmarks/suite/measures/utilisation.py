"""Which part of the slots' time is spent in calls while requests wait."""

from benchmarks.suite.numbers import most_at_once, steady_rate_per_s, utilisation_ratio
from benchmarks.suite.session import Session

PATIENCE_S = 180.0


def utilisation(
    session: Session, seconds: float, model_ms: float = 200.0
) -> dict[str, object]:
    """Send a batch that full slots would work on for so long."""
    session.model.set_delay(model_ms)
    count = max(round(session.slots * seconds * 1000 / model_ms), 20)
    due = session.load.send("medium", count)
    session.load.wait(due, PATIENCE_S)
    calls = session.calls(due)
    return {
        "requests": count,
        "failed": session.load.failed(due),
        "utilisation_ratio": utilisation_ratio(calls, session.slots),
        "starts_per_s": steady_rate_per_s([call.started_ns for call in calls]),
        "most_at_once": most_at_once(calls),
        "slots": session.slots,
    }
