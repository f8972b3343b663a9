"""A ledger with a request in every state: always the same one, but for the times."""

from dataclasses import dataclass
from types import MappingProxyType

from agentsched.ledger.bridge_reports import (
    BridgeReport,
    IndexAnswer,
    IndexedRequest,
    Question,
)
from agentsched.ledger.operator_orders import Control, ControlKind
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.ledger.turns import Member, Plan, PlanOutcome, PoolList, Turn
from agentsched.ledger.values import (
    Admission,
    AdmitOutcome,
    CallOutcome,
    Limits,
    PutBack,
)
from agentsched.wire.codec import hash_value
from agentsched.wire.records import RecordAt
from agentsched.wire.request_facts import RequestFacts

MODEL, ENDPOINT = "gpt-4", "https://gpt.example/v1"
DISPATCHER = "dispatcher-1"
SOURCE = "high_priority:T1:0"
OTHER_SOURCE = "low_priority:T2:3"
PAYLOAD = b'{"content":"hello"}'
REPLY = b'{"status":"completed","content":"four"}'
REPLY_AT = RecordAt("results", 3, 77)
LONG_MS = 3_600_000
AGAIN = 100
"""An offset and so much is the place where an agent sent the same again."""
OFFSETS = MappingProxyType(
    {
        "ready": 1,
        "attached": 2,
        "returned": 3,
        "crashed": 4,
        "rung": 5,
        "running": 6,
        "done": 7,
        "answered": 8,
        "ending": 9,
        "cancelled": 10,
    }
)
"""Each request by its state. `rung`: in format 2 its doorbell was out; now it is READY."""
STARTED = ("returned", "crashed", "rung", "running", "done", "answered")
SETTLED = 20
CONTROLS = (
    Control(ControlKind.PAUSE, MODEL, "ana@ops", "vendor is down"),
    Control(ControlKind.BLOCK, "crawler", "bo@ops", "loops"),
    Control(ControlKind.DRAIN, by="cy@ops", reason="new kernel"),
)
REPORT = BridgeReport(software="0.1.0", leading=True, waiting={"high": 3}, in_flight=2)
FOUND = IndexAnswer(
    found=(
        IndexedRequest(
            agent_id="planner",
            correlation_id="c-1",
            cls="high",
            models=(MODEL,),
            stage="waiting",
            topic="high_priority",
            partition=0,
            offset=1,
            waiting_ms=9,
            deadline_ms=90,
        ),
    )
)
QUESTION = Question(id="1f", correlation_id="c-1", agent_id="planner")


def key_of(state: str) -> str:
    """Return the key of the request in that state."""
    return f"{OFFSETS[state]:x}bcdef0123456789" * 2


def admission(
    state: str, now_ms: int, again: int = 0, payload: bytes = PAYLOAD
) -> Admission:
    """Return the request in that state as its bridge gives it to the ledger."""
    offset = OFFSETS[state]
    facts = RequestFacts(
        key=key_of(state),
        agent_id="planner",
        correlation_id=f"c-{offset}",
        group="planning",
        cls="high",
        models=(MODEL, "llama3"),
        task_type="text_generation",
        tokens=120,
        arrival_ms=now_ms - 5,
        deadline_ms=now_ms + LONG_MS,
        topic="high_priority",
        partition=0,
        offset=offset + again,
        source=SOURCE,
        reply_topic="results",
    )
    return Admission(facts, payload, hash_value(payload))


@dataclass(frozen=True)
class Written:
    """Where it stands."""

    epoch: str
    at_ms: int
    """Redis's clock when it began."""


def write(ledger: RedisLedger) -> Written:
    """Write it into an empty namespace."""
    epoch, now_ms = ledger.membership.beat().pulse.epoch, ledger.membership.now_ms()
    ledger.set_limits(epoch, Limits(capacity={(MODEL, ENDPOINT): 7}))
    _meet(ledger)
    for state in OFFSETS:
        if state != "cancelled":
            (answer,) = ledger.admit(epoch, [admission(state, now_ms)])
            assert answer.outcome is AdmitOutcome.NEW
    for state in ("attached", "answered"):
        (answer,) = ledger.admit(epoch, [admission(state, now_ms, AGAIN)])
        assert answer.outcome is AdmitOutcome.ATTACHED
    _start(ledger, epoch)
    for state in ("returned", "rung"):
        unstarted = (f"lease-{state}", 0, PutBack.UNSTARTED)
        assert ledger.put_back(epoch, key_of(state), *unstarted)
    crashed = ("lease-crashed", 1, PutBack.CRASHED, 3)
    assert ledger.put_back(epoch, key_of("crashed"), *crashed)
    ledger.cancel(epoch, key_of("ending"), LONG_MS)
    ledger.cancel(epoch, key_of("cancelled"), LONG_MS)
    for state in ("done", "answered"):
        outcome = CallOutcome(ok=True, model_ms=40)
        assert ledger.complete(epoch, key_of(state), f"lease-{state}", REPLY, outcome)
    assert ledger.published(epoch, key_of("answered"), REPLY_AT)
    ledger.settle(epoch, SOURCE, SETTLED)
    ledger.forget_done(epoch, OTHER_SOURCE, 5)
    return Written(epoch, now_ms)


def _start(ledger: RedisLedger, epoch: str) -> None:
    revision = ledger.operations.orders(epoch, "b1").revision
    members = tuple(
        Member(key_of(state), hash_value(PAYLOAD), 0, order)
        for order, state in enumerate((*STARTED, "ready"))
    )
    lists = (PoolList(MODEL, ENDPOINT, members),)
    planned = ledger.plan(epoch, Plan(DISPATCHER, 1, revision, "", lists))
    assert planned.outcome is PlanOutcome.PLANNED
    leases = tuple(f"lease-{state}" for state in STARTED)
    turn = Turn("w1", 1, 0, LONG_MS, models=(MODEL,), lease_ids=leases, free_slots=7)
    assert len(ledger.turn(epoch, turn).taken) == len(STARTED)


def _meet(ledger: RedisLedger) -> None:
    assert ledger.membership.lead(DISPATCHER, LONG_MS)
    ledger.membership.beat_bridge("b1", LONG_MS)
    ledger.membership.beat_worker("w1", {MODEL: 7}, LONG_MS, "127.0.0.1:9102")
    for control in CONTROLS:
        ledger.operations.impose(control)
    ledger.operations.report("b1", REPORT, LONG_MS)
    ledger.operations.ask(QUESTION, LONG_MS)
    ledger.operations.answer(QUESTION.id, "b1", FOUND, LONG_MS)
