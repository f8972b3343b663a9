"""What a request costs while very many wait: CPU, and memory of bridge and Redis.

For AgentSched only: its own commands hold the model while the requests come in.
"""

import json
import subprocess
import sys
import time
from typing import Any

import redis

from agentsched.embedded.services import environment
from benchmarks.suite.load import Incomplete
from benchmarks.suite.session import Session
from benchmarks.suite.systems import python_path

CONTENT_BYTES = 100
"""With its labels a request then has 200 bytes."""
ANSWERED = 3000
"""So many are answered while the rest waits; of fewer, nine tenths."""
PATIENCE_S = 600.0
LOOK_EVERY_S = 1.0


def growth(session: Session, waiting: int) -> dict[str, object]:
    """Fill the index with the model paused, then resume it and watch the first ones."""
    session.model.set_delay(0)
    store = redis.Redis.from_url(session.setting.redis_url)
    before = _memory(session, store)
    _agentsched(session, "pause", "m")
    began_s = time.monotonic()
    due = session.load.send("low", waiting, content_bytes=CONTENT_BYTES)
    _wait_until_indexed(session, waiting)
    indexed_s = time.monotonic() - began_s
    after = _memory(session, store)
    usage = session.usage()
    _agentsched(session, "resume", "m")
    session.load.wait_for_count(due, min(ANSWERED, waiting * 9 // 10), PATIENCE_S)
    cpu_s = session.by_role(usage.used_s())
    answered = len(due.keys() & session.load.answers.keys())
    store.close()
    return {
        "waiting": waiting,
        "indexed_per_s": waiting / indexed_s,
        "answered": answered,
        "cpu_ms_per_request": session.own(cpu_s) * 1000 / answered,
        "cpu_ms": {role: value * 1000 / answered for role, value in cpu_s.items()},
        "redis_bytes_per_request": (after["redis"] - before["redis"]) / waiting,
        "redis_mb": after["redis"] / 1e6,
        "bridge_bytes_per_request": (after["bridge"] - before["bridge"]) / waiting,
    }


def _memory(session: Session, store: "redis.Redis") -> dict[str, float]:
    bridge_mb = session.by_role(session.usage().memory_mb())["bridge"]
    used: Any = store.info("memory")
    return {"bridge": bridge_mb * 1e6, "redis": used["used_memory"]}


def _wait_until_indexed(session: Session, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        status = json.loads(_agentsched(session, "status", "--json"))
        if sum(each["unanswered"] for each in status["bridges"]) >= count:
            return
        if time.monotonic() > deadline:
            raise Incomplete(f"{count} were not indexed within {PATIENCE_S:g} s")
        time.sleep(LOOK_EVERY_S)


def _agentsched(session: Session, *arguments: str) -> str:
    folder = session.setting.folder
    done = subprocess.run(
        [sys.executable, "-m", "agentsched", *arguments],
        env=environment(python_path(), folder / "agentsched.yaml", {}),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    # `status` ends with 1 where it has something to say against the system.
    if done.returncode and arguments[0] != "status":
        raise RuntimeError(f"agentsched {arguments[0]}: {done.stderr[-500:]}")
    return done.stdout
