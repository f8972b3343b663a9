"""Why a request has not started: one sentence for each thing that keeps it; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from agentsched.ledger.operator_orders import Control, Controls
from agentsched.ledger.turns import SUSPECT_CRASHES
from agentsched.ledger.views import Pool
from agentsched.operations.durations import span


class Why(StrEnum):
    """The kinds of reasons, for programs."""

    DRAINING = "DRAINING"
    AGENT_BLOCKED = "AGENT_BLOCKED"
    LOADING = "LOADING"
    """Its bridge does not know yet what of its partition was answered."""
    DOUBTED = "DOUBTED"
    """Redis was lost: its bridge looks into Kafka whether it was answered before."""
    REFUSED = "REFUSED"
    """It cannot run, and is answered with an error."""
    MODEL_PAUSED = "MODEL_PAUSED"
    MODEL_REMOVED = "MODEL_REMOVED"
    """The bridges' configuration has no such model."""
    NO_WORKER = "NO_WORKER"
    SLOTS_IN_USE = "SLOTS_IN_USE"
    ALL_SLOTS_IN_USE = "ALL_SLOTS_IN_USE"
    """`limits.max_in_flight` is reached, over all models."""
    NOT_BEFORE = "NOT_BEFORE"
    """It was tried, and waits before it is tried again."""
    NO_DISPATCHER = "NO_DISPATCHER"
    OVERDUE = "OVERDUE"
    """Its time to live has ended: it never starts."""
    NOT_ADMITTED = "NOT_ADMITTED"
    """A slot is free, and its bridge has not put it into the ready set."""
    SUSPECT = "SUSPECT"
    """A slot is free; it was in flight in two crashes, and runs in a process alone."""
    MORE_URGENT = "MORE_URGENT"
    """A slot is free, and others come first."""
    NEXT = "NEXT"
    """Nothing keeps it."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps a request from starting."""

    why: Why
    text: str


@dataclass(frozen=True, slots=True)
class Wait:
    """What is known of a request that has not started."""

    models: tuple[str, ...]
    agent_id: str
    not_before_ms: int = 0
    """Milliseconds until it may start."""
    loading: bool = False
    doubted: bool = False
    overdue: bool = False
    admitted: bool = True
    """Whether it is in the ready set; only what is there can start."""
    before: int | None = None
    """Requests of the same models and bridge that come first; None: not counted."""
    crashes: int = 0
    """How often its lease has run out."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of the system around it."""

    now_ms: int
    """By the ledger's clock."""
    controls: Controls = field(default_factory=Controls)
    pools: Sequence[Pool] = ()
    live_slots: Mapping[str, int] = field(default_factory=dict)
    """Of live workers, per model."""
    max_in_flight: int = 0
    """Over all models; 0: no limit."""
    dispatcher: bool = True
    """Whether a bridge leads."""


def reasons(wait: Wait, around: Surroundings) -> list[Reason]:
    """Say what keeps a request from starting; the first is the one to look at first."""
    if (stopped := _stopped(wait, around)) is not None:
        return [stopped]
    kept = [_kept_by_model(model, around) for model in wait.models]
    found = [reason for reason in kept if reason is not None] if all(kept) else []
    if not found and _is_full(around):
        text = f"all {around.max_in_flight} slots of limits.max_in_flight are in use"
        found.append(Reason(Why.ALL_SLOTS_IN_USE, text))
    if wait.not_before_ms > 0:
        left = span(wait.not_before_ms)
        text = f"it may not start before its next attempt, in {left}"
        found.append(Reason(Why.NOT_BEFORE, text))
    if not around.dispatcher:
        text = "no bridge is the dispatcher now: start one (`python -m bridge`)"
        found.append(Reason(Why.NO_DISPATCHER, text))
    return found or [_next(wait, around)]


def order_of(control: Control, now_ms: int) -> str:
    """Say who ordered a control, when and why."""
    since = span(now_ms - control.at_ms)
    return f"for {since}, by {control.by or 'unknown'}: {control.reason or 'no reason'}"


def _stopped(wait: Wait, around: Surroundings) -> Reason | None:
    """Return what keeps it from every model; None: that depends on the model."""
    if not wait.models:
        text = "it cannot run: it is answered with an error in a moment"
        return Reason(Why.REFUSED, text)
    if (ordered := _stopped_by_order(wait, around)) is not None:
        return ordered
    if wait.loading:
        text = "its bridge waits for Redis to say what of the partition is answered"
        return Reason(Why.LOADING, text)
    if wait.doubted:
        text = "Redis was lost: its bridge looks into Kafka whether it was answered"
        return Reason(Why.DOUBTED, text)
    if wait.overdue:
        text = "its time to live has ended: it is answered DEADLINE_EXCEEDED"
        return Reason(Why.OVERDUE, text)
    return None


def _stopped_by_order(wait: Wait, around: Surroundings) -> Reason | None:
    controls, now_ms = around.controls, around.now_ms
    if blocked := controls.blocked.get(wait.agent_id):
        text = f"agent {wait.agent_id} is blocked {order_of(blocked, now_ms)}"
        return Reason(Why.AGENT_BLOCKED, f"{text}; it is answered AGENT_BLOCKED")
    if stop := next(controls.stopping_all(), None):
        text = f"the system is drained {order_of(stop, now_ms)}"
        return Reason(Why.DRAINING, text)
    return None


def _kept_by_model(model: str, around: Surroundings) -> Reason | None:
    """Return why this model cannot take it now; None: it can."""
    if paused := around.controls.paused.get(model):
        text = f"model {model} is paused {order_of(paused, around.now_ms)}"
        return Reason(Why.MODEL_PAUSED, text)
    pools = [pool for pool in around.pools if pool.model == model]
    if not pools:
        text = f"the bridges' configuration has no model {model}"
        return Reason(Why.MODEL_REMOVED, text)
    live = around.live_slots.get(model, 0)
    if not live:
        return Reason(Why.NO_WORKER, f"no live worker serves {model}")
    used = sum(pool.in_flight for pool in pools)
    capacity = sum(pool.capacity for pool in pools)
    if all(pool.in_flight >= pool.capacity for pool in pools):
        return Reason(Why.SLOTS_IN_USE, f"all {capacity} slots of {model} are in use")
    if used >= live:
        text = (
            f"all {live} slots of the live workers of {model} are in use"
            f" (its capacity is {capacity})"
        )
        return Reason(Why.SLOTS_IN_USE, text)
    return None


def _is_full(around: Surroundings) -> bool:
    used = sum(pool.in_flight for pool in around.pools)
    return 0 < around.max_in_flight <= used


def _next(wait: Wait, around: Surroundings) -> Reason:
    """Return why it has not started though a slot is free."""
    free = next(m for m in wait.models if _kept_by_model(m, around) is None)
    if not wait.admitted:
        text = (
            f"a slot of {free} is free, and it is not in the ready set yet: its bridge"
            " has just read it, or its share of the ready set is full of better ones"
        )
        return Reason(Why.NOT_ADMITTED, text)
    if wait.crashes >= SUSPECT_CRASHES:
        text = (
            f"a slot of {free} is free; it was in flight in {wait.crashes} crashes, and"
            " waits for a worker that has a child process free to run it alone"
        )
        return Reason(Why.SUSPECT, text)
    if wait.before:
        text = f"a slot of {free} is free: it starts when the {wait.before:,} before it have"
        return Reason(Why.MORE_URGENT, text)
    return Reason(
        Why.NEXT, f"a slot of {free} is free: it starts when those before it have"
    )
