"""What a system that has nothing to do uses of a core."""

import time

from benchmarks.suite.session import Session


def idle(session: Session, seconds: float) -> dict[str, object]:
    """Watch it for so long."""
    usage = session.usage()
    began_s = time.monotonic()
    time.sleep(seconds)
    used_s = session.by_role(usage.used_s())
    took_s = time.monotonic() - began_s
    return {
        "own_core_ratio": session.own(used_s) / took_s,
        "core_ratio": {role: value / took_s for role, value in used_s.items()},
    }
