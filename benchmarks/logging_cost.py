"""Measures what log lines cost: requests a second without, at `info` and at `debug`.

Run ``python benchmarks/logging_cost.py``; it takes about a minute. Bridge, ledger and
worker are the real ones, in one process, with an embedded Redis; Kafka, Celery and the
model answer at once. So the work beside the logging is the least that a request can
cost, and the ratios are the worst that a system can see. Lines go to a file, as JSON.

The default level follows from it: what happens to every request once is `info`, every
other change of its state is `debug`.
"""

import asyncio
import json
import logging
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from agentsched.config.settings import LoggingSettings, Settings
from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.kafka.group.assignment import AssignedPartition, PartitionOwner
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.protocols import Completion
from agentsched.telemetry.logs import configure
from agentsched.wire.doorbell import Doorbell
from agentsched.wire.epoch import NO_EPOCH
from agentsched.wire.records import (
    InboundRecord,
    Mark,
    OutboundRecord,
    Partition,
    RecordAt,
)
from agentsched.worker.leases import LeaseBook
from agentsched.worker.observer import WorkerObserver
from agentsched.worker.slots import Slots
from agentsched.worker.suspects import Suspects
from bridge.bootstrap import steady_clock
from bridge.change_log import ChangeReader
from bridge.core.rules import Rules
from bridge.daemon import Daemon
from bridge.effects import Effects, Outside
from bridge.kafka_thread import KafkaThread

REQUESTS = 2_000
ROUNDS = 4
CAPACITY = 8
TOPIC = "high_priority"
OFF = logging.CRITICAL + 1
LEVELS = {"off": OFF, "info": logging.INFO, "debug": logging.DEBUG}
ANSWER = Completion("x" * 1_500, "stop", None, {"completion_tokens": 300}, 0.0)


class Model:
    """Answers at once."""

    async def complete(self, *_: object) -> Completion:
        return ANSWER


class Sink:
    """Acknowledges at once, and says when all is answered."""

    def __init__(self) -> None:
        self.left = REQUESTS
        self.done = threading.Event()

    def send(self, record: OutboundRecord) -> Future[RecordAt]:
        sent: Future[RecordAt] = Future()
        sent.set_result(RecordAt(record.topic, 0, self.left))
        self.left -= 1
        if not self.left:
            self.done.set()
        return sent

    def flush(self, _timeout_s: float) -> int:
        return 0

    def close(self, _timeout_s: float) -> None:
        pass


class Source:
    """A group member whose topic holds all requests, and that takes every commit."""

    joined = True

    def __init__(self, owner: PartitionOwner) -> None:
        self._owner = owner
        self._new = [AssignedPartition(Partition(TOPIC, 0), "t", 0, 0, REQUESTS)]
        self._committed: dict[Partition, int] = {}
        now_ms = time.time_ns() // 1_000_000
        self._left = [
            InboundRecord(TOPIC, 0, offset, now_ms, _request(offset))
            for offset in range(REQUESTS)
        ]

    def subscribe(self, _topics: Sequence[str]) -> None:
        pass

    def poll(self, max_records: int, timeout_s: float) -> list[InboundRecord]:
        if self._new:
            self._owner.on_assigned(self._new)
            self._new = []
        committed, self._committed = self._committed, {}
        if committed:
            self._owner.on_committed(committed)
        found, self._left = self._left[:max_records], self._left[max_records:]
        if not found:
            time.sleep(timeout_s)
        return found

    def commit(self, marks: Mapping[Partition, Mark]) -> None:
        self._committed |= {partition: mark.offset for partition, mark in marks.items()}

    def pause(self, _partitions: Sequence[Partition]) -> None:
        pass

    resume = pause

    def close(self) -> None:
        pass


class Doorbells:
    """Rings at the slots themselves."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        for doorbell in doorbells:
            self._slots.ring(doorbell, lambda: None)

    def know(self, _models: object) -> None:
        pass


def _request(number: int) -> bytes:
    body = {"correlation_id": f"request-{number}", "content": "word " * 200}
    return json.dumps(body).encode()


def run(url: str, settings: Settings) -> float:
    """Answer all requests once; returns how many a second."""
    ledger, sink = RedisLedger.from_url(url, settings.namespace), Sink()
    slots = _slots(settings, ledger, sink)
    now_ms, inbox = steady_clock(), SimpleQueue()
    outside = Outside(
        ledger=ledger,
        membership=ledger.membership,
        operations=ledger.operations,
        doorbells=Doorbells(slots),
        sink=sink,
        read_back=lambda _: None,
        look_up=lambda *_: {},
        now_ms=now_ms,
    )
    rules = Rules(settings)
    daemon = Daemon(
        rules=rules,
        effects=Effects(outside, rules, "b", inbox.put),
        make_source=lambda owner: KafkaThread(Source, owner, inbox.put),
        reader=ChangeReader(ledger, inbox.put, now_ms),
        now_ms=now_ms,
        known_pulse=lambda: NO_EPOCH,
        inbox=inbox,
    )
    threads = [
        threading.Thread(target=daemon.run),
        threading.Thread(target=lambda: asyncio.run(slots.run())),
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    finished = _wait(ledger, slots, sink)
    took_s = time.perf_counter() - started
    daemon.stop()
    slots.leave()
    for thread in threads:
        thread.join()
    ledger.close()
    if not finished:
        sys.exit(f"{sink.left} requests were not answered in 60 s")
    return REQUESTS / took_s


def _slots(settings: Settings, ledger: RedisLedger, sink: Sink) -> Slots:
    leases = LeaseBook()
    return Slots(
        settings,
        ledger,
        sink,
        Model(),
        leases,
        Suspects(leases.clock),
        "w",
        ["m"],
        lambda: CAPACITY,
        WorkerObserver(),
        ThreadPoolExecutor(1),
    )


def _wait(ledger: RedisLedger, slots: Slots, sink: Sink) -> bool:
    """Beat for the worker until all is answered; False after 60 s."""
    for _ in range(600):
        epoch = ledger.membership.beat_worker(
            "w", {"m": CAPACITY}, 10_000, parked=slots.waiting()
        )
        slots.open_epoch(epoch)
        if sink.done.wait(0.1):
            return True
    return False


def main() -> None:
    rates: dict[str, list[float]] = {name: [] for name in LEVELS}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with EmbeddedValkey(root / "data", root / "valkey.log") as server:
            for turn in range(ROUNDS + 1):
                for name, level in LEVELS.items():
                    file = str(root / f"{name}.log")
                    configure(LoggingSettings(), "worker", level=level, file=file)
                    rate = run(server.url, _settings(f"{name}{turn}"))
                    if turn:  # the first one warms up
                        rates[name].append(rate)
    base = statistics.median(rates["off"])
    print(f"{'level':<7} {'requests/s':>10} {'of off':>7}")
    for name, found in rates.items():
        rate = statistics.median(found)
        print(f"{name:<7} {rate:>10.0f} {rate / base:>7.2f}")


def _settings(namespace: str) -> Settings:
    endpoint = {"base_url": "http://127.0.0.1:1/v1", "capacity": CAPACITY}
    return Settings.model_validate(
        {
            "namespace": namespace,
            "kafka": {"input_topics": [TOPIC]},
            "models": [{"name": "m", "endpoints": [endpoint]}],
        }
    )


if __name__ == "__main__":
    main()
