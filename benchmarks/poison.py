"""Measures what one request that kills its readers costs all others.

Run ``python -m benchmarks.poison``; it takes two minutes, and needs Java for Kafka. Two
workers of a model, started again whenever they die, have more work than slots; a call
takes two seconds. Then comes the poison. Printed is how much of the model's capacity
answered other requests: before; while the poison kills the workers, twice; while it runs
alone, as do those that were in flight beside it, until POISON is its answer; after. A
call that a crash broke off counts for nothing.
"""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.harmed import FOLDER, POISON
from tests.support.kafka_cluster import KafkaCluster
from tests.support.model_server import Call, ModelServer
from tests.support.system import System
from tests.support.waiting import eventually

MODEL = "m"
WORKERS = ("worker-m-0", "worker-m-1")
SLOTS = 20
CAPACITY = SLOTS * len(WORKERS)
CALL_S = 2.0
BACKLOG = 10 * CAPACITY
AROUND_S = 15.0
PHASES = ("before", "kills workers", "runs alone", "after")


@contextmanager
def supervised(system: System) -> Iterator[list[float]]:
    """Starts a worker again when it has died; yields when that was."""
    stopped, deaths = threading.Event(), []

    def watch() -> None:
        while not stopped.wait(0.1):
            for name in WORKERS:
                if not system.children[name].alive:
                    deaths.append(time.monotonic())
                    system.children.pop(name).stop()
                    system.worker(MODEL, name, "-c", str(SLOTS))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield deaths
    finally:
        stopped.set()
        thread.join()


@contextmanager
def traffic(system: System) -> Iterator[None]:
    """Sends so much that more than the capacity waits at all times."""
    stopped, sent = threading.Event(), 0

    def feed() -> None:
        nonlocal sent
        while not stopped.wait(0.2):
            if sent - len(system.replies.counts()) < BACKLOG:
                system.send("medium", CAPACITY)
                sent += CAPACITY

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def share_used(calls: tuple[Call, ...], since: float, until: float) -> float:
    """The part of the capacity in this time whose calls came to an answer."""
    whole = [
        (call.started_s, call.ended_s)
        for call in calls
        if call.ended_s and call.ended_s - call.started_s >= CALL_S
    ]
    used_s = sum(max(0.0, min(b, until) - max(a, since)) for a, b in whole)
    return used_s / (until - since) / CAPACITY


def run(folder: Path, kafka: KafkaCluster) -> None:
    """Print one row for each phase."""
    with (
        ModelServer(delay_s=CALL_S) as server,
        System(folder, kafka, server, {MODEL: CAPACITY}, python_path=FOLDER) as system,
    ):
        system.bridge("bridge0")
        for name in WORKERS:
            system.worker(MODEL, name, "-c", str(SLOTS))
        system.wait_for_slots({MODEL: CAPACITY})
        with supervised(system) as deaths, traffic(system):
            eventually(lambda: server.in_flight() == CAPACITY, timeout_s=60)
            time.sleep(CALL_S)
            marks = [time.monotonic()]
            time.sleep(AROUND_S)
            marks.append(time.monotonic())
            (deadly,) = system.send("high", 1, messages=POISON)
            eventually(lambda: len(deaths) == 2, timeout_s=120)
            eventually(lambda: crashed_alone(system), timeout_s=120)
            marks.append(time.monotonic())
            system.replies.wait_for({deadly}, 120)
            marks.append(time.monotonic())
            time.sleep(AROUND_S)
            marks.append(time.monotonic())
            time.sleep(2 * CALL_S)  # for the ends of calls that began before
    for name, since, until in zip(PHASES, marks, marks[1:], strict=False):
        used = share_used(server.calls, since, until)
        print(f"{name:14} {until - since:5.1f} s {used:6.0%}")


def crashed_alone(system: System) -> bool:
    """Whether it has killed a child, after the workers."""
    return any(system.events(name, "suspect_crashed") for name in WORKERS)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, KafkaCluster() as kafka:
        run(Path(folder), kafka)
