"""What a kill -9 of a worker in mid-batch costs: replies, doubles, repeated calls."""

import contextlib
import time
from collections.abc import Mapping

from benchmarks.suite.load import Incomplete, Load
from benchmarks.suite.session import Session

MODEL_MS = 50.0
RESTART_AFTER_S = 2.0
PATIENCE_S = 60.0
"""After the restart; what has no reply then has none."""
SETTLE_S = 2.0
"""A reply may come twice: for so long after the last one that is looked at."""
KILL_AT_RATIO = 0.4
TRAFFIC_EVERY_S = 1.0


def crash(
    session: Session, count: int = 1000, patience_s: float = PATIENCE_S
) -> dict[str, object]:
    """Kill a worker and all its children when 40 % have a reply; start it 2 s later."""
    session.model.set_delay(MODEL_MS)
    load = session.load
    due = load.send("medium", count)
    load.wait_for_count(due, round(count * KILL_AT_RATIO), PATIENCE_S)
    running = session.model.running()
    name = session.kill_a_worker()
    killed_ns = time.monotonic_ns()
    time.sleep(RESTART_AFTER_S)
    session.restart(name)
    _wait_with_traffic(load, due, patience_s)
    last_ns = max(load.first_at_ns(each) for each in due if each in load.answers)
    time.sleep(SETTLE_S)
    calls = session.calls(due)
    return {
        "requests": count,
        "failed": load.failed(due),
        "running_at_kill": running,
        "without_reply": sum(each not in load.answers for each in due),
        "doubled_replies": sum(len(load.answers.get(x, ())) > 1 for x in due),
        "repeated_calls": len(calls) - len({call.id for call in calls}),
        "recovered_s": (last_ns - killed_ns) / 1e9,
    }


def _wait_with_traffic(load: Load, due: Mapping[str, int], patience_s: float) -> None:
    """Wait for all replies, while one request a second goes on coming.

    Some systems look for what a dead worker left only when something new arrives.
    """
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        load.send("medium", 1)
        with contextlib.suppress(Incomplete):
            load.wait(due, TRAFFIC_EVERY_S)
            return
