"""How long a request takes beyond the model's own time, at a fixed rate."""

from benchmarks.suite.numbers import NS_PER_MS, percentile
from benchmarks.suite.session import Session

RATE_PER_S = 50.0
MODEL_MS = 100.0
PATIENCE_S = 60.0


def overhead(
    session: Session, seconds: float, rate_per_s: float = RATE_PER_S
) -> dict[str, object]:
    """Send at a rate, open-loop.

    The overhead of a request is from when it was due to its reply, less the time that
    its call took at the model server. `before` is up to the call, `after` from its end.
    """
    session.model.set_delay(MODEL_MS)
    count = round(rate_per_s * seconds)
    usage = session.usage()
    due = session.load.send("medium", count, rate_per_s=rate_per_s)
    session.load.wait(due, PATIENCE_S)
    cpu_s = session.by_role(usage.used_s())
    calls = {call.id: call for call in session.calls(due)}
    before, after, model = [], [], []
    for request_id, due_ns in due.items():
        call = calls[request_id]
        before.append((call.started_ns - due_ns) / NS_PER_MS)
        model.append((call.ended_ns - call.started_ns) / NS_PER_MS)
        replied_ns = session.load.first_at_ns(request_id)
        after.append((replied_ns - call.ended_ns) / NS_PER_MS)
    both = [first + last for first, last in zip(before, after, strict=True)]
    return {
        "requests": count,
        "failed": session.load.failed(due),
        "rate_per_s": rate_per_s,
        "p50_ms": percentile(both, 50),
        "p95_ms": percentile(both, 95),
        "p99_ms": percentile(both, 99),
        "before_p50_ms": percentile(before, 50),
        "after_p50_ms": percentile(after, 50),
        "model_p50_ms": percentile(model, 50),
        "model_p99_ms": percentile(model, 99),
        "own_cpu_ms": session.own(cpu_s) * 1000 / count,
        "cpu_ms": {role: value * 1000 / count for role, value in cpu_s.items()},
    }
