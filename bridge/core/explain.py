"""What this bridge's index says of a request that an operator asks for.

It tells facts; why the request waits is worked out by who asked, from these and from
what the ledger says (`agentsched.scheduling.reasons`).
"""

from collections.abc import Iterable
from itertools import islice

from agentsched.ledger.bridge_reports import IndexAnswer, IndexedRequest, Question
from agentsched.scheduling.order import CLASSES
from agentsched.wire.codec import Identity
from bridge.core import index
from bridge.core.commands import AnswerQuestion
from bridge.core.state import BridgeState, Indexed, Stage

MAX_FOUND = 20
AGENTS_TRIED = 10_000
"""Without an agent every agent's identity is tried: 1.5 us each."""
MAX_COUNTED = 3
"""Requests of one question for which those before them are counted: 0.1 s each with a
million that wait."""
BEFORE_IN_READY_SET = (Stage.READY, Stage.ADMITTING)


def answer(state: BridgeState, question: Question) -> AnswerQuestion:
    """Answer one question."""
    found: list[Indexed] = []
    for agent_id in _agents(state, question):
        key = Identity(agent_id, question.correlation_id).key
        found += index.with_key(state, key)
    asked_all = question.agent_id is not None or len(state.agents) <= AGENTS_TRIED
    return AnswerQuestion(
        question.id,
        IndexAnswer(
            found=tuple(
                _finding(state, entry, counted=number < MAX_COUNTED)
                for number, entry in enumerate(found[:MAX_FOUND])
            ),
            complete=asked_all and len(found) <= MAX_FOUND,
            loading=sum(p.view is None for p in state.partitions.values()),
        ),
    )


def _agents(state: BridgeState, question: Question) -> Iterable[str]:
    if question.agent_id is not None:
        return (question.agent_id,)
    return islice(state.agents, AGENTS_TRIED)


def _finding(state: BridgeState, entry: Indexed, *, counted: bool) -> IndexedRequest:
    facts = entry.facts
    return IndexedRequest(
        agent_id=facts.agent_id,
        correlation_id=facts.correlation_id,
        cls=facts.cls,
        models=facts.models,
        stage=entry.stage.value,
        topic=facts.topic,
        partition=facts.partition,
        offset=facts.offset,
        waiting_ms=state.ledger_now_ms - facts.arrival_ms,
        deadline_ms=facts.deadline_ms - state.ledger_now_ms,
        before=_before(state, entry) if counted else None,
        loading=state.partitions[facts.source].view is None,
    )


def _before(state: BridgeState, entry: Indexed) -> int | None:
    """Count what the same models answer first; None when it does not wait."""
    if entry.stage not in (Stage.WAITING, *BEFORE_IN_READY_SET):
        return None
    models, rank = entry.traits.models, entry.rank
    ready = sum(
        other.stage in BEFORE_IN_READY_SET and other.rank < rank
        for entries in state.admitted.get(models, {}).values()
        for other in entries
    )
    band = CLASSES.index(entry.traits.cls)
    queues = state.waiting.get(models, {})
    before = sum(len(queues[cls]) for cls in CLASSES[:band] if cls in queues)
    if (own := queues.get(entry.traits.cls)) is not None:
        before += own.count_before(entry.place)
    return ready + before
