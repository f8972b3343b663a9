"""A worker's surroundings in memory: ledger, Kafka and model that a test scripts."""

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from time import time_ns
from typing import Any

from agentsched.config.settings import EndpointSettings, Settings
from agentsched.errors import DeliveryFailed, LedgerUnavailable, NewerFormat
from agentsched.ledger.memory.ledger import MemoryLedger
from agentsched.ledger.memory.membership import MemoryMembership
from agentsched.ledger.values import Admission, Limits, ReserveOutcome, State
from agentsched.protocols import Completion
from agentsched.types import Message
from agentsched.wire.codec import encode_message, hash_value
from agentsched.wire.doorbell import Doorbell
from agentsched.wire.records import OutboundRecord, RecordAt
from agentsched.worker.call_loop import CallLoop
from agentsched.worker.clock import Clock
from agentsched.worker.execution import Ended, Execution
from agentsched.worker.leases import LeaseBook
from agentsched.worker.observer import WorkerObserver
from agentsched.worker.suspects import Suspects
from tests.support.requests import facts, settings

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

    def beat_worker(self, *args: Any) -> None:
        self._ledger.scripted("beat_worker", super().beat_worker, *args)

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
        if name not in {"claim", "renew", "complete", "published", "put_back"}:
            return attribute
        return lambda *args: self.scripted(name, attribute, *args)

    def scripted(self, name: str, step: Callable[..., Any], *args: Any) -> Any:
        """Do a step, as far as the script lets it."""
        self.steps.append(name)
        if name in self.unreachable:
            raise LedgerUnavailable("scripted")
        if name in self.newer:
            raise NewerFormat("scripted: upgrade this process")
        answer = step(*args)
        if self.lost_answers.get(name, 0):
            self.lost_answers[name] -= 1
            raise LedgerUnavailable("scripted: the answer is lost")
        return answer


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


class Desk:
    """One execution and its surroundings."""

    def __init__(
        self,
        clock: Clock | None = None,
        observer: WorkerObserver | None = None,
        **changes: Any,
    ) -> None:
        self.settings: Settings = settings(**changes)
        self.ledger = UnreliableLedger()
        self.sink = MemorySink(self.ledger)
        self.completer = ScriptedCompleter()
        self.calls = CallLoop()
        self.leases = LeaseBook(clock)
        self.suspects = Suspects(self.leases.clock)
        self.execution = Execution(
            self.settings,
            self.ledger,
            self.sink,
            self.completer,
            self.calls,
            self.leases,
            self.suspects,
            observer,
        )
        self.endpoint = self.settings.models[0].endpoints[0]
        self.epoch = self.ledger.membership.beat().pulse.epoch
        self.ledger.set_limits(
            self.epoch, Limits(capacity={("m", self.endpoint.name): 10})
        )
        assert self.ledger.membership.lead("test", 60_000)

    def rung(
        self,
        key: str = "k1",
        ttl_ms: int = 60_000,
        traceparent: str = "",
        **fields: Any,
    ) -> Doorbell:
        """A doorbell for a request that is admitted and reserved."""
        body = {"id": "label", "content": "2+2?"} | fields
        payload = encode_message(body)
        self.payload_hash = hash_value(payload)
        request = replace(
            facts(key, traceparent=traceparent),
            arrival_ms=now_ms() - 50,
            deadline_ms=now_ms() + ttl_ms,
        )
        self.ledger.admit(
            self.epoch, [Admission(request, payload, hash_value(payload))]
        )
        outcome = self.ledger.reserve(
            self.epoch, "test", key, 1, "m", self.endpoint.name
        )
        assert outcome is ReserveOutcome.RESERVED
        return Doorbell.of(request, 1, self.epoch, "m")

    def run(self, **fields: Any) -> Ended:
        return self.execution.run(self.rung(**fields))

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
