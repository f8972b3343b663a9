"""Where a request is, since when, and why it waits: values, and what they are made of.

Pure: it is handed what ledger and bridges say of a request, and asks nobody.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from agentsched.ledger.bridge_reports import IndexedRequest, JsonValue
from agentsched.ledger.values import State
from agentsched.ledger.views import Description
from agentsched.operations.explain.reasons import Reason, Surroundings, Wait, reasons

PAST_WAITING = ("in_flight", "repeating")
DOUBTED = "doubted"


class Place(StrEnum):
    """Where a request is."""

    KAFKA = "kafka"
    """Read and indexed by a bridge; not in the ready set."""
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    ANSWERED = "answered"
    MOVING = "moving"
    """Between two places at this moment: ask again."""


class ReplyPlace(JsonValue):
    """Where a reply is in Kafka."""

    topic: str
    partition: int
    offset: int


class Whereabouts(JsonValue):
    """One request."""

    agent_id: str
    correlation_id: str
    place: Place
    since_ms: int
    """How long it is there; KAFKA: since the broker's append time."""
    cls: str = ""
    models: tuple[str, ...] = ()
    topic: str = ""
    partition: int = -1
    offset: int = -1
    bridge_id: str = ""
    """Who has it in its index."""
    deadline_left_ms: int | None = None
    before: int | None = None
    """Requests of the same models that come before it, of the same bridge."""
    model: str = ""
    endpoint: str = ""
    attempts: int = 0
    crashes: int = 0
    lease_left_ms: int | None = None
    ending: str | None = None
    """Why it has to end without a call, if it has to."""
    reply_at: ReplyPlace | None = None
    reasons: tuple[tuple[str, str], ...] = ()
    """(code, sentence): what keeps it from starting."""


class Explanation(JsonValue):
    """All requests of an id that were found."""

    correlation_id: str
    found: tuple[Whereabouts, ...] = ()
    bridges: int = 0
    """Live bridges that were asked."""
    silent_bridges: tuple[str, ...] = ()
    """Those that did not answer in time."""
    complete: bool = True
    """False: there may be requests of this id of other agents: name the agent."""
    agents_tried: tuple[str, ...] = ()
    """Whose identities were looked up in the ledger."""


def found(
    correlation_id: str,
    known: Mapping[str, Description],
    findings: Sequence[tuple[str, IndexedRequest]],
    around: Surroundings,
) -> Iterator[Whereabouts]:
    """Say where each request is that the ledger or a bridge knows.

    Args:
        correlation_id: what was asked for.
        known: agent -> what the ledger says.
        findings: (bridge, what its index says).
        around: for the reasons.
    """
    indexed: set[str] = set()
    for bridge_id, finding in findings:
        description = known.get(finding.agent_id)
        indexed.add(finding.agent_id)
        base = _of_finding(bridge_id, finding)
        if description is None or description.state is State.ANSWERED:
            # Answered meanwhile, or the same id once more.
            yield _in_kafka(base, finding, around)
        if description is not None:
            yield _in_ledger(base, description, around)
    for agent_id, description in known.items():
        if agent_id not in indexed:
            base = Whereabouts(
                agent_id=agent_id,
                correlation_id=correlation_id,
                place=Place.MOVING,
                since_ms=0,
            )
            yield _in_ledger(base, description, around)


def _of_finding(bridge_id: str, finding: IndexedRequest) -> Whereabouts:
    moving = finding.stage in PAST_WAITING
    return Whereabouts(
        agent_id=finding.agent_id,
        correlation_id=finding.correlation_id,
        place=Place.MOVING if moving else Place.KAFKA,
        since_ms=finding.waiting_ms,
        cls=finding.cls,
        models=finding.models,
        topic=finding.topic,
        partition=finding.partition,
        offset=finding.offset,
        bridge_id=bridge_id,
        deadline_left_ms=finding.deadline_ms,
        before=finding.before,
    )


def _in_kafka(
    base: Whereabouts, finding: IndexedRequest, around: Surroundings
) -> Whereabouts:
    if base.place is not Place.KAFKA:
        return base
    wait = Wait(
        finding.models,
        finding.agent_id,
        loading=finding.loading,
        doubted=finding.stage == DOUBTED,
    )
    return base.model_copy(update={"reasons": _pairs(reasons(wait, around))})


def _in_ledger(
    base: Whereabouts, known: Description, around: Surroundings
) -> Whereabouts:
    facts, at = known.facts, known.reply_at
    update: dict[str, object] = {
        "place": Place(known.state.value),
        "since_ms": known.since_ms,
        "model": known.model,
        "endpoint": known.endpoint,
        "attempts": known.attempts,
        "crashes": known.crashes,
        "ending": known.ending,
        "before": base.before if known.state is State.READY else None,
    }
    if facts:
        update |= {
            "cls": facts.cls,
            "models": facts.models,
            "topic": facts.topic,
            "partition": facts.partition,
            "offset": facts.offset,
            "deadline_left_ms": known.deadline_left_ms,
        }
    if at:
        place = ReplyPlace(topic=at.topic, partition=at.partition, offset=at.offset)
        update |= {"reply_at": place, "deadline_left_ms": None}
    if known.state is State.RUNNING:
        update["lease_left_ms"] = known.lease_left_ms
    if known.state is State.READY and facts:
        wait = Wait(facts.models, facts.agent_id, known.not_before_ms)
        update["reasons"] = _pairs(reasons(wait, around))
    return base.model_copy(update=update)


def _pairs(kept_by: list[Reason]) -> tuple[tuple[str, str], ...]:
    return tuple((reason.why.value, reason.text) for reason in kept_by)
