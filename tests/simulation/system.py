"""One run: builds the system of a plan, lets the faults strike, then waits for calm."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from agentsched.client.pending_requests import Outstanding
from agentsched.ledger.memory.ledger import MemoryLedger
from agentsched.wire.codec import Identity, cancel_record
from agentsched.wire.records import OutboundRecord, Partition
from agentsched.worker.execution import Execution
from agentsched.worker.turns import Turns
from bridge.core.rules import Rules
from bridge.effects import Effects
from tests.simulation.bridge import SimBridge
from tests.simulation.kafka import Group, SimKafka
from tests.simulation.model import SimModels
from tests.simulation.nemesis import Nemesis
from tests.simulation.plan import (
    AGENT,
    TOPICS,
    Plan,
    Submission,
    bridges_of,
    settings_of,
    workers_of,
)
from tests.simulation.redis import SimRedis
from tests.simulation.witness import Witness
from tests.simulation.worker import SimWorker
from tests.simulation.world import Process, World

CALM_MS = 150_000
"""After the last fault everything is answered within this time: leases, sessions and
the back-off of doorbells have to run out."""
FRESH_MS = 10_000
"""And then a new request within this one."""
LOOK_MS = 200
SKEWS_MS = (0, 0, 7_200_000, -7_200_000)
"""How far the wall clock of a bridge's machine is off."""


@dataclass(frozen=True)
class Parts:
    """The real code that runs; a mutation puts a broken piece in its place."""

    ledger: type[MemoryLedger] = MemoryLedger
    effects: type[Effects] = Effects
    execution: type[Execution] = Execution
    turns: type[Turns] = Turns
    rules: type[Rules] = Rules
    outstanding: type[Outstanding] = Outstanding


@dataclass
class Run:
    """What came of a plan."""

    plan: Plan
    violations: list[str]
    history: list[tuple[int, str, str, tuple[object, ...]]] = field(repr=False)
    facts: dict[str, int]


def run(plan: Plan, parts: Parts | None = None) -> Run:
    """Run a plan to its end."""
    with _no_log():
        system = _System(plan, parts or Parts())
        system.run()
        system.end()
    witness = system.witness
    return Run(plan, witness.violations, system.world.history, witness.facts())


class _System:
    def __init__(self, plan: Plan, parts: Parts) -> None:
        self.plan, self.parts = plan, parts
        self.settings = settings_of(plan.shape)
        self.world = world = World(plan.seed)
        self.redis = SimRedis(world, parts.ledger)
        self.kafka = SimKafka(world)
        self.group = Group(self.kafka, [Partition(topic, 0) for topic in TOPICS])
        self.queues = self.redis.queues
        self.models = SimModels(world, plan.shape.slow_ms)
        self.witness = Witness(
            world,
            self.settings,
            self.redis,
            self.kafka,
            self.group,
            self.models,
            faults=bool(plan.faults),
            outstanding=parts.outstanding,
        )
        self.live: dict[str, SimBridge | SimWorker] = {}
        self.nemesis = Nemesis(world, self.redis, self.group, self.live)
        world.deaths.append(self._restart)

    def run(self) -> None:
        """Faults, then calm, then a new request."""
        world, plan = self.world, self.plan
        for name in [*bridges_of(plan.shape), *workers_of(plan.shape)]:
            world.after(world.rng.randrange(400), self._begin, name)
        for submission in plan.submissions:
            world.after(submission.at_ms, self._send, submission)
        for fault in plan.faults:
            world.after(fault.at_ms, self.nemesis.strike, fault)
        ends_ms = [one.at_ms for one in plan.submissions]
        ends_ms += [one.ends_ms for one in plan.faults]
        world.run(world.now_ms + max(ends_ms, default=0) + 1)
        self.nemesis.heal()
        if not self._settles(CALM_MS, self.witness.at_rest):
            self.witness.blame("not at rest after the calm", self.witness.unrest())
            self.witness.violations += world.bugs
            return
        fresh = Submission(
            len(plan.submissions), 0, TOPICS[0], "fresh", "fresh-a", (("content", "?"),)
        )
        self._send(fresh)
        if not self._settles(FRESH_MS, lambda: not self.witness.unanswered):
            self.witness.blame("a new request is not answered")
        self.witness.judge()

    def end(self) -> None:
        """End all processes: a task that never ends would keep the whole run alive."""
        self.world.deaths.remove(self._restart)
        for one in self.live.values():
            self.world.kill(one.process)

    def _settles(self, within_ms: int, at_rest: Callable[[], bool]) -> bool:
        until_ms = self.world.now_ms + within_ms
        while self.world.now_ms < until_ms:
            self.world.run(self.world.now_ms + LOOK_MS)
            if at_rest():
                return True
        return False

    def _send(self, submission: Submission) -> None:
        """Put a record on Kafka, as an agent does."""
        record = _record_of(submission)
        self.witness.sent(submission, self.kafka.append(record), record)

    def _begin(self, name: str) -> None:
        shape, world = self.plan.shape, self.world
        if name.startswith("bridge"):
            self.live[name] = SimBridge(
                world,
                self.redis,
                self.kafka,
                self.group,
                self.queues,
                self.parts.rules(self.settings),
                name,
                world.rng.choice(SKEWS_MS),
                self.parts.effects,
            )
            return
        self.live[name] = SimWorker(
            world,
            self.redis,
            self.kafka,
            self.queues,
            self.models,
            self.settings,
            name,
            shape.serves[int(name.rpartition("-")[2]) - 1],
            shape.slots,
            self.parts.execution,
            self.parts.turns,
        )

    def _restart(self, process: Process) -> None:
        self.world.note(process, "has ended")
        del self.live[process.name]
        self.world.after(
            self.nemesis.restart_ms(process.name), self._begin, process.name
        )


def _record_of(submission: Submission) -> OutboundRecord:
    if submission.kind == "cancel":
        identity = Identity(AGENT, submission.correlation_id)
        return cancel_record(identity, submission.topic)
    body = {
        "id": submission.label,
        "agent_id": AGENT,
        "correlation_id": submission.correlation_id,
    }
    value = json.dumps(body | dict(submission.body)).encode()
    if submission.kind == "malformed":
        value = value[:-1]
    return OutboundRecord(submission.topic, value)


@contextmanager
def _no_log() -> Iterator[None]:
    """Thousands of runs would write what nobody reads."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
