"""Requests a second with a model that answers at once, and what each costs in CPU."""

from benchmarks.suite.numbers import steady_rate_per_s
from benchmarks.suite.session import Session

PILOT = 300
FEWEST, MOST = 500, 40_000
PATIENCE_S = 180.0


def throughput(
    session: Session, seconds: float, pilot: int = PILOT, fewest: int = FEWEST
) -> dict[str, object]:
    """Send a batch that takes about so long.

    Args:
        session: the system.
        seconds: how long.
        pilot: so many requests say how large the batch has to be.
        fewest: but never smaller than this.

    Returns:
        requests/s in the steady part, CPU ms a request of each process, memory, and
        which part of a core the model server used: it must not be the bottleneck.
    """
    session.model.set_delay(0)
    count = round(min(max(_pilot_per_s(session, pilot) * seconds, fewest), MOST))
    usage = session.usage()
    due = session.load.send("medium", count)
    session.load.wait(due, PATIENCE_S)
    cpu_s = session.by_role(usage.used_s())
    times = [session.load.first_at_ns(each) for each in due]
    took_s = (max(times) - min(due.values())) / 1e9
    cpu_ms = {role: value * 1000 / count for role, value in cpu_s.items()}
    memory_mb = session.by_role(usage.memory_mb())
    return {
        "requests": count,
        "failed": session.load.failed(due),
        "requests_per_s": steady_rate_per_s(times),
        "own_cpu_ms": session.own(cpu_ms),
        "cpu_ms": cpu_ms,
        "own_memory_mb": session.own(memory_mb),
        "memory_mb": memory_mb,
        "model_core_ratio": cpu_s["model"] / took_s,
        "calls": len(session.calls(due)),
    }


def _pilot_per_s(session: Session, count: int) -> float:
    due = session.load.send("medium", count)
    session.load.wait(due, PATIENCE_S)
    session.model.take_calls()
    return steady_rate_per_s([session.load.first_at_ns(each) for each in due])
