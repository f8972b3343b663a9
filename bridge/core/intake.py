"""What becomes of one record: a request with its facts, or a typed refusal."""

from dataclasses import dataclass

from agentsched.errors import CodecError, ErrorCode
from agentsched.ledger.values import Admission
from agentsched.types import Message, Priority, ReplyError
from agentsched.wire.codec import (
    AnswerableError,
    Identity,
    decode_cancel,
    decode_request,
    hash_value,
    is_cancel,
    labels_of,
    traceparent_in,
)
from agentsched.wire.dead_letters import dead_letter_record
from agentsched.wire.records import InboundRecord, OutboundRecord
from agentsched.wire.replies import failed_reply, reply_record
from agentsched.wire.request_facts import RequestFacts
from agentsched.wire.terminal_errors import REPLY_EXPIRED
from bridge.core.rules import Rules

NO_MODELS: tuple[str, ...] = ()
"""The models of a request that cannot run."""
BYTES_PER_TOKEN = 4
"""Rough estimate where the request states no `token_count` (facts: len(utf8) / 4)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The record names nobody who could be answered: it becomes a dead letter."""

    record: OutboundRecord


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The record cancels a request."""

    key: str


class _Refusal(Exception):  # noqa: N818  (control flow within this module)
    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


Verdict = Admission | Refused | Cancellation


def classify(record: InboundRecord, source: str, rules: Rules) -> Verdict:
    """Decide what a record is.

    A request that cannot run is admitted together with its failed reply: its identity
    is compared with others like any request's, and nothing is called.

    Args:
        record: as it was read.
        source: the ledger's name of its partition.
        rules: models, agents, limits.
    """
    max_bytes = rules.settings.limits.request_max_bytes
    error: ReplyError | None = None
    try:
        if is_cancel(record):
            return Cancellation(decode_cancel(record, max_bytes).key)
        message, identity = decode_request(record, max_bytes)
    except AnswerableError as invalid:
        message, identity = invalid.labels, invalid.identity
        error = ReplyError(code=invalid.code, message=invalid.detail)
    except CodecError as bad:
        return Refused(dead_letter_record(record, source, bad.code, bad.detail))
    models, reply_topic = NO_MODELS, rules.settings.kafka.output_topic
    try:
        reply_topic = _reply_topic(message, rules)
        if error is None:
            _check_content(message)
            models = _models(message, identity, rules)
    except _Refusal as refusal:
        error = error or ReplyError(code=refusal.code, message=refusal.detail)
    ways = (models, reply_topic)
    facts = _facts(record, source, message, identity, rules, ways)
    value = record.value or b""
    reply = _failed_value(facts, message, error) if error else b""
    return Admission(facts, value, hash_value(value), reply)


def _facts(  # noqa: PLR0913  (what facts are made of)
    record: InboundRecord,
    source: str,
    message: Message,
    identity: Identity,
    rules: Rules,
    ways: tuple[tuple[str, ...], str],
) -> RequestFacts:
    models, reply_topic = ways
    ttl_s = message.ttl_s or rules.ttl_s(identity.agent_id)
    ttl_s = min(ttl_s, rules.settings.limits.ttl_max_s)
    value_bytes = len(record.value or b"")
    return RequestFacts(
        key=identity.key,
        agent_id=identity.agent_id,
        correlation_id=identity.correlation_id,
        group=_group(message, identity, rules),
        cls=rules.allowed_class(
            identity.agent_id,
            message.priority or rules.class_of_topic(record.topic),
        ),
        models=models,
        task_type=message.task_type.value,
        tokens=message.token_count or value_bytes // BYTES_PER_TOKEN,
        arrival_ms=record.timestamp_ms,
        deadline_ms=record.timestamp_ms + int(ttl_s * 1000),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        source=source,
        reply_topic=reply_topic,
        traceparent=traceparent_in(record.headers),
    )


def _group(message: Message, identity: Identity, rules: Rules) -> str:
    agent = rules.agent(identity.agent_id)
    return (agent and agent.group) or message.agent_group or identity.agent_id


def _models(message: Message, identity: Identity, rules: Rules) -> tuple[str, ...]:
    able = rules.models_for(message.task_type)
    if message.model_id:
        if message.model_id not in rules.models:
            raise _Refusal(
                ErrorCode.UNKNOWN_MODEL, "no model of that name is configured"
            )
        if message.model_id not in able:
            raise _Refusal(
                ErrorCode.NO_MODEL_FOR_TASK,
                f"the model of that name does not serve {message.task_type}",
            )
        return (message.model_id,)
    agent = rules.agent(identity.agent_id)
    if agent and agent.model in able:
        return (agent.model,)
    if not able:
        raise _Refusal(
            ErrorCode.NO_MODEL_FOR_TASK, f"no model serves {message.task_type}"
        )
    return able


def _check_content(message: Message) -> None:
    if not message.content and not message.messages:
        raise _Refusal(
            ErrorCode.EMPTY_CONTENT, "neither content nor messages are given"
        )


def _reply_topic(message: Message, rules: Rules) -> str:
    kafka = rules.settings.kafka
    if message.reply_topic in (None, kafka.output_topic):
        return kafka.output_topic
    if message.reply_topic not in kafka.reply_topics:
        raise _Refusal(
            ErrorCode.REPLY_TOPIC_NOT_ALLOWED,
            "reply_topic is not among kafka.reply_topics of the configuration",
        )
    return message.reply_topic


def expired_reply(admission: Admission) -> OutboundRecord:
    """Return what is sent when a repeated request's reply is no longer in Kafka."""
    value = ended_reply(admission, REPLY_EXPIRED)
    return reply_record(admission.facts, value, admission.payload_hash)


def ended_reply(admission: Admission, error: ReplyError, attempts: int = 0) -> bytes:
    """Return the failed reply of a request that a bridge ends.

    Args:
        admission: the request.
        error: why it ends.
        attempts: how often a worker has started it.
    """
    labels = labels_of(admission.payload)
    return _failed_value(admission.facts, labels, error, attempts)


def _failed_value(
    facts: RequestFacts, message: Message, error: ReplyError, attempts: int = 0
) -> bytes:
    identity = Identity(facts.agent_id, facts.correlation_id)
    # The class that it had here, which may not be the one that it asked for.
    cls = Priority(facts.cls)
    return failed_reply(message, identity, error, priority=cls, attempts=attempts)


def conflict(record: InboundRecord, source: str) -> OutboundRecord:
    """Return the dead letter of a request whose identity another payload has."""
    detail = "another payload already has this identity"
    return dead_letter_record(record, source, ErrorCode.CONFLICT, detail)
