"""Measures what answered requests cost in Redis: bytes each, and time in every step.

Run ``python benchmarks/tombstones.py 100000 1000000``; the second takes some minutes. An
embedded Valkey is filled by the real scripts (`admit` with the reply, `published`), a
batch a round trip, evenly over eight slices of the horizon. Bytes are the difference of
`used_memory`, without buffers and without the change log, which is bounded. Times are the
server's processor time for a step with its round trip; each is taken with nothing in the
ledger and with all of it.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

from agentsched.config.settings import RedisSettings
from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.ledger.redis.scripts import Scripts
from agentsched.ledger.values import Admission, CallOutcome, Limits
from agentsched.redis.client import redis_client
from agentsched.wire.records import RecordAt
from agentsched.wire.request_facts import RequestFacts

BATCH = 500
SLICES = 8
STEPS = 4_000
PART = 1_000
"""Steps that one measurement takes together; the best counts, to leave out others' load."""
POOL = ("gpt-4", "https://gpt.example/v1")


def request(number: int) -> Admission:
    """One request of many agents, on one of twelve partitions."""
    partition = number % 12
    facts = RequestFacts(
        key=sha256(str(number).encode()).hexdigest()[:32],
        agent_id=f"agent-{number % 50}",
        correlation_id=f"c-{number}",
        group="g",
        cls="high",
        models=("gpt-4",),
        task_type="text_generation",
        tokens=120,
        arrival_ms=1,
        deadline_ms=9_999_999_999_999,
        topic="high_priority",
        partition=partition,
        offset=number // 12,
        source=f"high_priority:vJ9kT1Q2R3q0:{partition}",
        reply_topic="results",
    )
    return Admission(facts, b"{}", sha256(b"x%d" % number).hexdigest()[:32], b"reply")


def batches(numbers: range) -> Iterator[range]:
    """Cut into batches."""
    return (numbers[at : at + BATCH] for at in range(0, len(numbers), BATCH))


class Bench:
    """A ledger on a Valkey of its own."""

    def __init__(self, url: str) -> None:
        self.client = redis_client(RedisSettings(url=url))
        self.ledger = RedisLedger(self.client)
        self.scripts = Scripts(self.client, "agentsched")
        self.epoch = self.ledger.membership.beat().pulse.epoch
        self.limit(3600)
        self.ledger.membership.lead("d", 3_600_000)

    def limit(self, horizon_s: int) -> None:
        """Set the horizon; another one is another slice."""
        limits = Limits({POOL: 100_000}, 0, 1_000_000, horizon_s)
        self.ledger.set_limits(self.epoch, limits)

    def answer(self, numbers: range) -> None:
        """Admit with the reply, and publish."""
        for batch in batches(numbers):
            self.ledger.admit(self.epoch, [request(number) for number in batch])
            rows = [(request(n).facts.key, f"results {n % 6} {n // 6}") for n in batch]
            self.scripts.run_each("published", self.epoch, rows)

    def used_bytes(self) -> int:
        """Memory without the change log and without buffers."""
        self.client.xtrim(f"agentsched:{self.epoch}:changes", 0, approximate=False)
        stats = self.client.memory_stats()
        buffers = stats["aof.buffer"] + stats["clients.normal"]
        return int(stats["total.allocated"]) - int(buffers)

    def time_us(self, calls: list[Callable[[], object]]) -> float:
        """The server's processor time for a step, in microseconds."""
        parts = []
        for at in range(0, len(calls), PART):
            before = self._cpu_s()
            for call in calls[at : at + PART]:
                call()
            parts.append((self._cpu_s() - before) / PART * 1e6)
        return min(parts)

    def _cpu_s(self) -> float:
        spent = self.client.info("cpu")
        return float(spent["used_cpu_user"]) + float(spent["used_cpu_sys"])

    def steps(self, first: int) -> dict[str, float]:
        """The way of some requests, and what follows their answers."""
        ledger, epoch = self.ledger, self.epoch
        ones = [request(first + number) for number in range(STEPS)]
        keys = [one.facts.key for one in ones]
        new = [Admission(one.facts, one.payload, one.payload_hash) for one in ones]
        at = RecordAt("results", 1, 2)
        ok = CallOutcome(ok=True)
        ways: dict[str, list[Callable[[], object]]] = {
            "admit": [partial(ledger.admit, epoch, [it]) for it in new],
            "reserve": [partial(ledger.reserve, epoch, "d", k, 1, *POOL) for k in keys],
            "claim": [partial(ledger.claim, epoch, k, 1, "L", 60_000) for k in keys],
            "complete": [
                partial(ledger.complete, epoch, k, "L", b"r", ok) for k in keys
            ],
            "published": [partial(ledger.published, epoch, k, at) for k in keys],
            "published again": [partial(ledger.published, epoch, k, at) for k in keys],
            "admit again": [partial(ledger.admit, epoch, [it]) for it in new],
        }
        return {name: self.time_us(calls) for name, calls in ways.items()}


def main(volumes: list[int]) -> None:
    """Print a table."""
    for volume in volumes:
        with tempfile.TemporaryDirectory() as folder:
            server = EmbeddedValkey(Path(folder) / "data", Path(folder) / "log")
            bench = Bench(server.url)
            empty = bench.steps(10_000_000)
            before = bench.used_bytes()
            for number in range(SLICES):
                bench.limit(3600 + 100 * number)
                part = range(volume * number // SLICES, volume * (number + 1) // SLICES)
                bench.answer(part)
            each = (bench.used_bytes() - before) / volume
            print(f"{volume} answered: {each:.0f} bytes each")
            for name, took_us in bench.steps(20_000_000).items():
                print(
                    f"  {name:16} {empty[name]:6.1f} us empty, {took_us:6.1f} us full"
                )
            server.stop()


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [100_000])
