"""A worker's surroundings in memory: ledger, Kafka and model that a test scripts."""

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue
from time import time_ns
from typing import Any
from uuid import uuid4

from agentsched.config.settings import EndpointSettings, Settings
from agentsched.errors import DeliveryFailed, LedgerUnavailable, NewerFormat
from agentsched.ledger.memory.ledger import MemoryLedger
from agentsched.ledger.memory.membership import MemoryMembership
from agentsched.ledger.turns import Member, Plan, PlanOutcome, PoolList, Turn
from agentsched.ledger.values import Admission, Limits, State
from agentsched.protocols import Completion
from agentsched.types import Message
from agentsched.wire.codec import encode_message, hash_value
from agentsched.wire.doorbell import Doorbell
from agentsched.wire.records import OutboundRecord, RecordAt
from agentsched.worker.call_loop import CallLoop
from agentsched.worker.clock import Clock
from agentsched.worker.execution import Ended, Run
from agentsched.worker.leases import LeaseBook
from agentsched.worker.observer import WorkerObserver
from agentsched.worker.slots import Slots
from agentsched.worker.suspects import Suspects
from agentsched.worker.task_view import TaskView
from agentsched.worker.time_limits import NO_LIMITS, TimeLimits
from tests.support.requests import facts, settings

WORKER = "worker/1"

ANSWER = Completion(
    content="four",
    finish_reason="stop",
    tool_calls=None,
    usage={"prompt_tokens": 3, "completion_tokens": 1},
    model_s=0.25,
)


def now_ms() -> int:
    return time_ns() // 1_000_000


class UnreliableMembership(MemoryMembership):
    """Heartbeats whose answers can be lost."""

    def __init__(self, ledger: "UnreliableLedger") -> None:
        super().__init__(ledger.server)
        self._ledger = ledger

    def beat_worker(self, *args: Any) -> str:
        return self._ledger.scripted("beat_worker", super().beat_worker, *args)

    def leave_worker(self, *args: Any) -> None:
        self._ledger.scripted("leave_worker", super().leave_worker, *args)


class UnreliableLedger(MemoryLedger):
    """A ledger whose answers can be lost, before or after the step was done."""

    def __init__(self) -> None:
        super().__init__(now_ms)
        self.membership = UnreliableMembership(self)
        self.steps: list[str] = []
        self.lost_answers: dict[str, int] = {}
        self.unreachable: set[str] = set()
        self.newer: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        attribute = super().__getattribute__(name)
        if name not in {"turn", "renew", "settle"}:
            return attribute
        return lambda *args: self.scripted(name, attribute, *args)

    def scripted(self, name: str, step: Callable[..., Any], *args: Any) -> Any:
        """Do a step, as far as the script lets it."""
        self.steps += _steps(args[1]) if name == "turn" else [name]
        if name in self.unreachable:
            raise LedgerUnavailable("scripted")
        if name in self.newer:
            raise NewerFormat("scripted: upgrade this process")
        answer = step(*args)
        if self.lost_answers.get(name, 0):
            self.lost_answers[name] -= 1
            raise LedgerUnavailable("scripted: the answer is lost")
        return answer


def _steps(turn: Turn) -> list[str]:
    """What a turn does, in the order in which it is done."""
    return (
        ["published"] * len(turn.published)
        + ["complete"] * len(turn.completions)
        + ["put_back"] * len(turn.hand_backs)
        + ["turn"]
    )


class MemorySink:
    """Acknowledges every record at once, or refuses it, as it has to or for good."""

    def __init__(self, ledger: UnreliableLedger) -> None:
        self.records: list[OutboundRecord] = []
        self.refuses = False
        self.forbids = False
        self._ledger = ledger

    def send(self, record: OutboundRecord) -> Future[RecordAt]:
        self._ledger.steps.append("send")
        self.records.append(record)
        delivery: Future[RecordAt] = Future()
        if self.refuses or self.forbids:
            failed = DeliveryFailed("scripted")
            failed.forbidden = self.forbids
            delivery.set_exception(failed)
        else:
            delivery.set_result(RecordAt(record.topic, 0, len(self.records)))
        return delivery

    def close(self, timeout_s: float) -> None:
        pass


class ScriptedCompleter:
    """Does what the test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.traceparents: list[str] = []
        self.asked: list[tuple[EndpointSettings, str, Message, float]] = []
        self.outcome: Completion | Exception = ANSWER
        self.hangs = False
        self.started = threading.Event()
        self.meanwhile = lambda: None

    async def complete(
        self,
        endpoint: EndpointSettings,
        model: str,
        request: Message,
        timeout_s: float,
        traceparent: str = "",
    ) -> Completion:
        self.traceparents.append(traceparent)
        self.asked.append((endpoint, model, request, timeout_s))
        self.started.set()
        self.meanwhile()
        if self.hangs:
            await asyncio.Event().wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Ends(TaskView):
    """Keeps how the work on each request ended."""

    def __init__(self) -> None:
        self.ended_so: SimpleQueue[Ended] = SimpleQueue()
        self.is_revoked = False
        self.time_limits = NO_LIMITS

    def limits(self) -> TimeLimits:
        return self.time_limits

    def revoked(self, run: Run) -> bool:
        return self.is_revoked

    def ended(self, run: Run, ended: Ended) -> None:
        self.ended_so.put(ended)


class Desk:
    """The slots of one process and their surroundings, on a loop of their own."""

    def __init__(
        self,
        clock: Clock | None = None,
        observer: WorkerObserver | None = None,
        slots: int = 2,
        capacity: int = 10,
        **changes: Any,
    ) -> None:
        self.settings: Settings = settings(**changes)
        self.ledger = UnreliableLedger()
        self.sink = MemorySink(self.ledger)
        self.completer = ScriptedCompleter()
        self.calls = CallLoop()
        self.leases = LeaseBook(clock)
        self.suspects = Suspects(self.leases.clock)
        self.ends = Ends()
        self.limit = slots
        self.acknowledged: list[str] = []
        self.gave_up = threading.Event()
        self._thread = ThreadPoolExecutor(1)
        self.slots = Slots(
            self.settings,
            self.ledger,
            self.sink,
            self.completer,
            self.leases,
            self.suspects,
            WORKER,
            ["m"],
            lambda: self.limit,
            observer or WorkerObserver(),
            self._thread,
            self.ends,
            self.gave_up.set,
        )
        self.endpoint = self.settings.models[0].endpoints[0]
        self.epoch = self.ledger.membership.beat().pulse.epoch
        self.ledger.set_limits(
            self.epoch, Limits(capacity={("m", self.endpoint.name): capacity})
        )
        self._number = self._offset = 0
        self.beat()
        self.served = self.calls.start(self.slots.run())

    def close(self) -> None:
        """End the loop, whatever runs on it."""
        self.calls.close(5)
        self._thread.shutdown()
        self.suspects.close()

    def beat(self) -> None:
        """What the keeper does every second."""
        parked = self.slots.parked()
        epoch = self.ledger.membership.beat_worker(WORKER, {"m": 9}, 60_000, "", parked)
        self.slots.open_epoch(epoch)

    def admitted(
        self,
        key: str = "k1",
        ttl_ms: int = 60_000,
        traceparent: str = "",
        **fields: Any,
    ) -> Doorbell:
        """A doorbell for a request that is admitted, and not listed yet."""
        body = {"id": "label", "content": "2+2?"} | fields
        payload = encode_message(body)
        self.payload_hash = hash_value(payload)
        request = replace(
            facts(key, traceparent=traceparent, offset=self._offset),
            arrival_ms=now_ms() - 50,
            deadline_ms=now_ms() + ttl_ms,
        )
        self._offset += 1
        self.ledger.admit(self.epoch, [Admission(request, payload, self.payload_hash)])
        return Doorbell.of(request, 1, self.epoch, "m")

    def plan(self) -> None:
        """List all that is ready, as the dispatcher would."""
        assert self.ledger.membership.lead("test", 60_000)
        ready = self.ledger.snapshot(self.epoch).ready
        members = tuple(
            Member(one.facts.key, one.payload_hash, one.turn, order)
            for order, one in enumerate(ready)
        )
        self._number += 1
        pool = PoolList("m", self.endpoint.name, members)
        plan = Plan("test", self._number, 0, "", (pool,))
        revision = self.ledger.plan(self.epoch, plan).revision
        planned = self.ledger.plan(self.epoch, replace(plan, revision=revision))
        assert planned.outcome is PlanOutcome.PLANNED

    def ring(self, doorbell: Doorbell) -> None:
        """A doorbell gets to the process."""
        self.slots.ring(doorbell, lambda: self.acknowledged.append(doorbell.key))

    def begin(self, **fields: Any) -> Doorbell:
        """Admit, list and ring."""
        doorbell = self.admitted(**fields)
        self.plan()
        self.ring(doorbell)
        return doorbell

    def ended(self) -> Ended:
        """How the next request ended whose work is over."""
        return self.ends.ended_so.get(timeout=60)

    def run(self, **fields: Any) -> Ended:
        """One request, from its doorbell to its end."""
        self.begin(**fields)
        return self.ended()

    def crash(self, key: str = "k1", times: int = 1) -> None:
        """Another process takes a request and dies, so often."""
        self.ledger.membership.beat_worker("dead", {"m": 9}, 60_000, "", 0)
        for _ in range(times):
            self.plan()
            number = self._number
            lost = Turn("dead", number, number - 1, 0, models=("m",))
            lost = replace(lost, lease_ids=(uuid4().hex,), free_children=1)
            (taken,) = MemoryLedger.turn(self.ledger, self.epoch, lost).taken
            assert taken.key == key
            assert self.ledger.expire(self.epoch, key)

    def reply(self) -> dict[str, Any]:
        """The one reply; it names the payload that it answers, whatever it says."""
        (record,) = self.sink.records
        assert record.headers["payload_hash"] == self.payload_hash
        return json.loads(record.value or b"")

    def state(self, key: str = "k1") -> State | None:
        view = self.ledger.inspect(self.epoch, [key])[0]
        return view.state if view else None

    def in_flight(self) -> int:
        return self.ledger.totals(self.epoch)["m"].in_flight
