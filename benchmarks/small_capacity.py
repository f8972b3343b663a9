"""Measures how much of a small pool is in use while requests wait.

Run ``python -m benchmarks.small_capacity``; it takes two minutes, and needs Java for
Kafka. One bridge and one worker serve a model of capacity 1, 2 and 3 whose calls take
0.1 s, and more requests wait than can be answered. Printed is for each capacity how many
requests a second were answered, how many its slots could have answered at the most with
these calls, as long as they took in this very run, and the part of that.
"""

import tempfile
import time
from pathlib import Path

from tests.support.kafka_cluster import KafkaCluster
from tests.support.model_server import Call, ModelServer
from tests.support.system import System
from tests.support.waiting import eventually

MODEL = "m"
CAPACITIES = (1, 2, 3)
CALL_S = 0.1
MEASURED_S = 10.0


def run(folder: Path, kafka: KafkaCluster, capacity: int) -> None:
    """Print one row."""
    with (
        ModelServer(delay_s=CALL_S) as server,
        System(folder, kafka, server, {MODEL: capacity}) as system,
    ):
        system.start()
        system.send("medium", round(2 * MEASURED_S / CALL_S) * capacity)
        eventually(lambda: len(server.calls) > 2 * capacity, timeout_s=60)
        since = time.monotonic()
        time.sleep(MEASURED_S)
        until = time.monotonic()
        answered = [c for c in server.calls if since <= (c.ended_s or until) < until]
    per_s = len(answered) / (until - since)
    possible_per_s = capacity / mean_s(answered)
    print(
        f"{capacity:8} {per_s:10.1f} {possible_per_s:10.1f} {per_s / possible_per_s:6.0%}"
    )


def mean_s(calls: list[Call]) -> float:
    """How long a call took at the server."""
    return sum((c.ended_s or 0.0) - c.started_s for c in calls) / len(calls)


if __name__ == "__main__":
    print(f"{'capacity':>8} {'requests/s':>10} {'possible':>10} {'part':>6}")
    with KafkaCluster() as kafka:
        for capacity in CAPACITIES:
            with tempfile.TemporaryDirectory() as folder:
                run(Path(folder), kafka, capacity)
