"""Two ledgers behind one handle, so that one suite of contract tests runs on both."""

from dataclasses import replace
from typing import Any, Protocol
from uuid import uuid4

from agentsched.ledger.memory.ledger import MemoryLedger
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.ledger.turns import (
    Member,
    Plan,
    Planned,
    PoolList,
    Taken,
    Turn,
    TurnAnswer,
)
from agentsched.ledger.values import (
    START_OF_LOG,
    Admission,
    Admitted,
    CallOutcome,
    ChangeKind,
    EntryView,
    Limits,
    PutBack,
    State,
)
from agentsched.wire.codec import hash_value
from agentsched.wire.records import RecordAt
from agentsched.wire.request_facts import RequestFacts
from tests.support.redis_state import rollback, save
from tests.support.waiting import eventually

GPT, GPT_AT = "gpt-4", "https://gpt.example/v1"
LLAMA, LLAMA_AT = "llama3", "https://llama.example/v1"
LIMITS = Limits(capacity={(GPT, GPT_AT): 7, (LLAMA, LLAMA_AT): 2})
AT = {GPT: GPT_AT, LLAMA: LLAMA_AT}
LEADER = "dispatcher-1"
WORKER = "w1@host/1"
LONG_MS = 60_000
SOURCE = "high_priority:T1:0"
REPLY_AT = RecordAt("results", 3, 77)
OK = CallOutcome(ok=True, model_ms=40)


class Backend(Protocol):
    """What differs between the two: the clock, and how everything is lost."""

    ledger: Any

    def now_ms(self) -> int: ...
    def advance(self, ms: int) -> None: ...
    def lose(self) -> None: ...
    def save(self) -> Any: ...
    def rollback(self, to: Any) -> None: ...


class InMemory:
    """The ledger in memory, with a clock that a test sets."""

    def __init__(self) -> None:
        self._now_ms = 1_763_940_000_000
        self.ledger = MemoryLedger(self.now_ms)

    def now_ms(self) -> int:
        return self._now_ms

    def advance(self, ms: int) -> None:
        self._now_ms += ms

    def lose(self) -> None:
        self.ledger.server.lose()

    def save(self) -> Any:
        return self.ledger.server.save()

    def rollback(self, to: Any) -> None:
        self.ledger.server.rollback(to)


class OnRedis:
    """The ledger on Redis, in a namespace of its own."""

    def __init__(self, url: str) -> None:
        self.namespace = f"test-{uuid4().hex}"
        self.ledger = RedisLedger.from_url(url, self.namespace)
        self.client = self.ledger._client

    def now_ms(self) -> int:
        seconds, micros = self.client.time()
        return seconds * 1000 + micros // 1000

    def advance(self, ms: int) -> None:
        target = self.now_ms() + ms
        eventually(lambda: self.now_ms() >= target, message="Redis's clock stands")

    def names(self) -> list[bytes]:
        return list(self.client.scan_iter(f"{self.namespace}:*", count=1000))

    def lose(self) -> None:
        for name in self.names():
            self.client.delete(name)

    def save(self) -> Any:
        return save(self.client, self.names())

    def rollback(self, to: Any) -> None:
        rollback(self.client, self.names(), to)


class World:
    """A ledger with an epoch, limits and a dispatcher, and short ways to each state."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.ledger = backend.ledger
        self.epoch = self.ledger.membership.beat().pulse.epoch
        self.ledger.set_limits(self.epoch, LIMITS)
        assert self.ledger.membership.lead(LEADER, LONG_MS)
        self._offset = self._plans = 0
        self._turns: dict[str, int] = {}
        self._hashes: dict[str, str] = {}

    def facts(self, **changed: Any) -> RequestFacts:
        self._offset += 1
        now_ms = self.backend.now_ms()
        facts = RequestFacts(
            key=uuid4().hex,
            agent_id="planner",
            correlation_id=f"c-{self._offset}",
            group="planning",
            cls="high",
            models=(GPT, LLAMA),
            task_type="text_generation",
            tokens=120,
            arrival_ms=now_ms - 5,
            deadline_ms=now_ms + 600_000,
            topic="high_priority",
            partition=0,
            offset=self._offset,
            source=SOURCE,
            reply_topic="results",
        )
        return replace(facts, **changed)

    def admission(self, payload: bytes = b'{"content":"hello"}', **changed: Any):
        return Admission(self.facts(**changed), payload, hash_value(payload))

    def admit(self, *admissions: Admission) -> list[Admitted]:
        for one in admissions:
            self._hashes.setdefault(one.facts.key, one.payload_hash)
        return self.ledger.admit(self.epoch, list(admissions))

    def view(self, key: str) -> EntryView | None:
        return self.ledger.inspect(self.epoch, [key])[0]

    def state(self, key: str) -> State | None:
        view = self.view(key)
        return view.state if view else None

    def ready(self, **changed: Any) -> str:
        admission = self.admission(**changed)
        self.admit(admission)
        return admission.facts.key

    def take(
        self, key: str, lease: str = "L1", ms: int = LONG_MS, model: str = GPT
    ) -> Taken | None:
        """List a request first in a pool, alone, and have the worker take it."""
        self.beat()
        self.plan(key, model=model)
        return next(iter(self.turn(lease, lease_ms=ms).taken), None)

    def running(self, lease: str = "L1", ms: int = LONG_MS, **changed: Any) -> str:
        key = self.ready(**changed)
        assert self.take(key, lease, ms)
        return key

    def returned(self, **changed: Any) -> str:
        """READY again after a start that did not count."""
        key = self.running("L0", **changed)
        assert self.ledger.put_back(self.epoch, key, "L0", 0, PutBack.UNSTARTED)
        return key

    def crashed(self, lease: str = "L1", **changed: Any) -> str:
        """RUNNING under a lease that is over."""
        key = self.running(lease, ms=1, **changed)
        self.backend.advance(2)
        return key

    def beat(self, worker: str = WORKER, ms: int = LONG_MS, parked: int = 0) -> str:
        slots = {GPT: 4, LLAMA: 4}
        return self.ledger.membership.beat_worker(worker, slots, ms, parked=parked)

    def revision(self) -> int:
        return self.ledger.operations.orders(self.epoch, "b1").revision

    def member(self, key: str, order: int = 0) -> Member:
        """Return the entry as a dispatcher lists it that has just read it."""
        view = self.view(key)
        hash_ = self._hashes.get(key, hash_value(b"unknown"))
        return Member(key, hash_, view.turn if view else 0, order)

    def plan(self, *members: str | Member, model: str = GPT, **changed: Any) -> Planned:
        """List requests of one pool, in this order."""
        self._plans += 1
        listed = [
            self.member(one, order) if isinstance(one, str) else one
            for order, one in enumerate(members)
        ]
        pool = PoolList(model, AT[model], tuple(listed))
        plan = Plan(LEADER, self._plans, self.revision(), "", (pool,))
        return self.ledger.plan(self.epoch, replace(plan, **changed))

    def next_turn(self, *lease_ids: str, **changed: Any) -> Turn:
        """Return the next turn of a worker, to which all answers have come."""
        worker = changed.get("worker_id", WORKER)
        number = self._turns[worker] = self._turns.get(worker, 0) + 1
        turn = Turn(
            worker,
            number,
            number - 1,
            LONG_MS,
            models=(GPT, LLAMA),
            lease_ids=lease_ids,
            free_slots=len(lease_ids),
        )
        return replace(turn, **changed)

    def turn(self, *lease_ids: str, **changed: Any) -> TurnAnswer:
        """Do it."""
        return self.ledger.turn(self.epoch, self.next_turn(*lease_ids, **changed))

    def takes(self, *lease_ids: str, **changed: Any) -> list[str]:
        """Do it, and return the keys of what it took."""
        return [one.key for one in self.turn(*lease_ids, **changed).taken]

    def complete(
        self, key: str, lease: str | None = None, reply: bytes = b"r", outcome=OK
    ) -> bool:
        return self.ledger.complete(self.epoch, key, lease, reply, outcome)

    def done(self, **changed: Any) -> str:
        key = self.running(**changed)
        assert self.complete(key, "L1")
        return key

    def publish(self, key: str, at: RecordAt = REPLY_AT) -> bool:
        return self.ledger.published(self.epoch, key, at)

    def answered(self, **changed: Any) -> str:
        key = self.done(**changed)
        assert self.publish(key)
        return key

    def done_offsets(
        self, source: str = SOURCE, watermark: int = 0, end: int = 1_000_000
    ) -> set[int]:
        view = self.ledger.partition(self.epoch, source, watermark, end)
        return {offset for run in view.done for offset in run}

    def unknown(self) -> str:
        return uuid4().hex

    def in_flight(self, model: str = GPT) -> int:
        return self.ledger.totals(self.epoch)[model].in_flight

    def limit(self, **changed: Any) -> None:
        self.ledger.set_limits(self.epoch, replace(LIMITS, **changed))

    def kinds_since(self, cursor: str) -> list[str]:
        return [change.kind.value for change in self.changes_since(cursor)]

    def changes_since(self, cursor: str):
        return self.ledger.changes(self.epoch, cursor, 0)[1]

    def changes_of_requests(self):
        """All changes so far, but for those of limits and controls."""
        changes = self.changes_since(START_OF_LOG)
        return [one for one in changes if one.kind is not ChangeKind.ORDERS]

    def trace(self, key: str) -> list[object]:
        """All that a step could have changed, but for ages."""
        view = self.view(key)
        return [
            self.changes_of_requests(),
            self.ledger.reply(self.epoch, key),
            self.ledger.totals(self.epoch),
            view and (view.state, view.turn, view.model, view.attempts),
        ]

    def cursor(self) -> str:
        return self.ledger.snapshot(self.epoch).cursor
