"""Measures what a bridge's index takes: bytes a record beside its payload, and its pace.

Run ``python benchmarks/index_memory.py 10000 100000 300000``. Every volume has a process
of its own. Records come as from Kafka's client (no string is shared by two of them) and
go through the core's own steps: 100 agents, 3 classes, 3 models, 12 partitions, payloads
of 200 bytes, the headers and the key of `AgentClient`. What waits is not answered, so all
of it stays.

`process` is the growth of the process (PSS), `allocated` that of tracemalloc, both a
record and without the payload's bytes. `counted` is what the index itself says. Times are
processor time a record, without tracemalloc; the best of three. ``--save FILE`` keeps
them, ``--against FILE`` shows the ratio to those that were kept.
"""

import argparse
import gc
import json
import linecache
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from agentsched.config.settings import Settings
from agentsched.ledger.operator_orders import Controls
from agentsched.ledger.values import (
    AdmitOutcome,
    Admitted,
    Change,
    ChangeKind,
    PartitionView,
    State,
)
from agentsched.wire.records import Headers, InboundRecord, Partition
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.rules import Rules
from bridge.core.state import BridgeState
from bridge.core.step import step

AGENTS, MODELS, PARTITIONS = 100, ("gpt-4", "llama3", "mistral"), 12
CLASSES = ("high", "medium", "low")
PAYLOAD_BYTES = 200
READ = 500
"""Records in one event, as the loop reads them."""
NOW_MS = 1_900_000_000_000
LINES = 16
REPEATS = 3


def settings() -> Settings:
    """Three models, and limits that nothing reaches."""
    server = {"base_url": "http://127.0.0.1:1/v1", "capacity": 16}
    return Settings.model_validate(
        {
            "models": [{"name": name, "endpoints": [server]} for name in MODELS],
            "limits": {"index_max_records": 100_000_000, "index_max_bytes": 1 << 36},
        }
    )


def partition(number: int) -> Partition:
    """Four partitions of each class's topic."""
    return Partition(f"{CLASSES[number % 3]}_priority", number // 3 % 4)


def source(number: int) -> str:
    """The ledger's name of a partition."""
    topic, index = partition(number)
    return f"{topic}:vJ9kT1Q2R3q0:{index}"


def record(number: int, payload_bytes: int = PAYLOAD_BYTES) -> InboundRecord:
    """One request; nothing of it is shared with another, as from Kafka's client."""
    at = number % PARTITIONS
    topic, index = partition(at)
    correlation_id = f"{number:08x}-4d3a-4f6e-9a51-0b7c2d{number % 4096:06x}"
    agent_id = f"agent-{number % AGENTS}"
    body = {
        "correlation_id": correlation_id,
        "agent_id": agent_id,
        "model_id": MODELS[number % len(MODELS)],
        "content": "",
    }
    body["content"] = "x" * (payload_bytes - len(json.dumps(body)))
    ids = {"agent_id": agent_id, "correlation_id": correlation_id}
    return InboundRecord(
        topic="".join(topic),
        partition=index,
        offset=1_000_000 + number // PARTITIONS,
        timestamp_ms=NOW_MS + number // 10,
        value=json.dumps(body).encode(),
        headers=Headers([("".join(list(name)), value) for name, value in ids.items()]),
        written_after_ms=NOW_MS + number // 10 + 0,
        key=correlation_id.encode(),
    )


class Bench:
    """A bridge's core that owns all partitions, and a ledger that says yes."""

    def __init__(self) -> None:
        self.state = BridgeState(Rules(settings()), epoch="00000001abcdef")
        self.state.controls = Controls()
        self.now_ms = NOW_MS
        for number in range(PARTITIONS):
            place, name = partition(number), source(number)
            self.feed(ev.Assigned(place, name, 1_000_000, 1_000_000))
            self.feed(ev.PartitionLoaded(name, PartitionView((), {})))
            self.feed(ev.Committed(place, 1_000_000))

    def feed(self, event: Any) -> list[do.Command]:
        """One step; what it admits is READY at once."""
        self.state, commands = step(self.state, event)
        for command in commands:
            if isinstance(command, do.Admit):
                facts = [admission.facts for admission in command.admissions]
                places = tuple((one.source, one.offset) for one in facts)
                answers = (Admitted(AdmitOutcome.NEW, State.READY),) * len(places)
                self.feed(ev.AdmitAnswered(places, answers, self.now_ms))
        return commands

    def read(self, records: list[InboundRecord]) -> None:
        """Index records, as many at a time as the loop reads."""
        for at in range(0, len(records), READ):
            self.feed(ev.Read(tuple(records[at : at + READ]), self.now_ms))

    def fill(self, volume: int) -> None:
        """Index records that are kept nowhere else."""
        for at in range(0, volume, READ):
            self.read([record(n) for n in range(at, min(at + READ, volume))])

    def settle(self, numbers: range) -> None:
        """Answer requests, in the order in which they came."""
        for at in range(0, len(numbers), READ):
            changes = tuple(
                Change(
                    ChangeKind.SETTLED,
                    f"{n}-0",
                    source=source(n % PARTITIONS),
                    offset=1_000_000 + n // PARTITIONS,
                )
                for n in numbers[at : at + READ]
            )
            self.feed(ev.Changed(changes, self.now_ms, self.state.epoch))

    def drop(self) -> None:
        """Give all partitions up."""
        for number in range(PARTITIONS):
            self.feed(ev.Revoked(source(number)))

    def end_overdue(self, ticks: int) -> None:
        """Let all deadlines pass and tick, without answers."""
        self.now_ms += 86_400_000
        for _ in range(ticks):
            self.now_ms += 50
            self.state, _ = step(self.state, ev.Tick(self.now_ms))


def pss_bytes() -> int:
    """What this process takes of the machine."""
    for line in Path("/proc/self/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise OSError("no Pss in smaps_rollup")


def measure_process(volume: int) -> dict[str, float]:
    """Fill an index; say how much the process has grown."""
    bench = Bench()
    bench.fill(READ)
    bench.settle(range(READ))
    gc.collect()
    before = pss_bytes()
    bench = Bench()
    bench.fill(volume)
    gc.collect()
    grown = pss_bytes() - before
    owned = bench.state.partitions.values()
    counted = sum(each.size_bytes for each in owned)
    return {
        "process": grown / volume - PAYLOAD_BYTES,
        "counted": counted / volume - PAYLOAD_BYTES,
    }


def measure_parts(volume: int) -> dict[str, Any]:
    """Fill an index; say which lines have allocated what is kept."""
    bench = Bench()
    tracemalloc.start()
    bench.fill(volume)
    gc.collect()
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    found = snapshot.statistics("lineno")
    lines = []
    for each in found[:LINES]:
        frame = each.traceback[0]
        where = "/".join(Path(frame.filename).parts[-2:])
        text = linecache.getline(frame.filename, frame.lineno).strip()
        lines.append((each.size / volume, f"{where}:{frame.lineno}", text))
    total = sum(each.size for each in found)
    return {"allocated": total / volume - PAYLOAD_BYTES, "lines": lines}


def timed(work: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def measure_pace(volume: int) -> dict[str, float]:
    """Microseconds a record of the steps, on an index of this size."""
    best: dict[str, float] = {}
    for _ in range(REPEATS):
        bench, took = Bench(), {}
        took["read"] = timed(partial(bench.read, [record(n) for n in range(volume)]))
        gc.collect()
        took["settle"] = timed(partial(bench.settle, range(volume // 2))) * 2
        took["drop"] = timed(bench.drop) * 2
        bench = Bench()
        bench.fill(volume)
        ticks = min(200, volume // 400)
        overdue = 200 * ticks  # so many a tick
        took["overdue"] = timed(partial(bench.end_overdue, ticks)) * volume / overdue
        for name, took_s in took.items():
            each_us = took_s / volume * 1e6
            best[name] = min(best.get(name, each_us), each_us)
    return best


MEASURES = {
    "process": measure_process,
    "parts": measure_parts,
    "pace": measure_pace,
}


def in_its_own_process(what: str, volume: int) -> Any:
    """Run one measurement where nothing was measured before."""
    command = [sys.executable, __file__, "--only", what, str(volume)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def report(volume: int, against: dict[str, float]) -> Iterator[str]:
    """Yield the lines of one volume's table, and keep its times in `against`."""
    process, parts, pace = (in_its_own_process(what, volume) for what in MEASURES)
    yield f"{volume:,} records, bytes each beside {PAYLOAD_BYTES} of payload:"
    yield (
        f"  process {process['process']:,.0f}   allocated {parts['allocated']:,.0f}"
        f"   counted {process['counted']:,.0f}"
    )
    for size, where, text in parts["lines"]:
        yield f"  {size:7.1f}  {where:32} {text[:60]}"
    for name, each_us in pace.items():
        before = against.get(f"{name} {volume}")
        ratio = f"   {each_us / before:.2f} x before" if before else ""
        yield f"  {name:8} {each_us:6.1f} us{ratio}"
        against[f"{name} {volume}"] = each_us


def main() -> None:
    """Print a table for each volume."""
    parser = argparse.ArgumentParser()
    parser.add_argument("volumes", type=int, nargs="*", default=[100_000])
    parser.add_argument("--only", choices=MEASURES)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--against", type=Path)
    asked = parser.parse_args()
    if asked.only:
        print(json.dumps(MEASURES[asked.only](asked.volumes[0])))
        return
    kept = json.loads(asked.against.read_text("utf-8")) if asked.against else {}
    for volume in asked.volumes:
        for line in report(volume, kept):
            print(line, flush=True)
    if asked.save:
        asked.save.write_text(json.dumps(kept), "utf-8")


if __name__ == "__main__":
    main()
