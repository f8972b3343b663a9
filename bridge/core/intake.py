"""What becomes of one record: a request with its facts, or a typed refusal."""

from dataclasses import dataclass, replace

from agentsched.codec import (
    Identity,
    dead_letter_record,
    decode_cancel,
    decode_message,
    decode_request,
    failed_reply,
    hash_value,
    is_cancel,
    reply_record,
)
from agentsched.endings import POISON, REPLY_EXPIRED
from agentsched.errors import CodecError, ErrorCode
from agentsched.kafka_records import InboundRecord, OutboundRecord
from agentsched.ledger.records import Admission, RequestFacts
from agentsched.types import Message, Priority, ReplyError
from bridge.core.rules import Rules

BYTES_PER_TOKEN = 4
"""Rough estimate where the request states no `token_count` (facts: len(utf8) / 4)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The record is answered at once, by a failed reply or a dead letter."""

    record: OutboundRecord
    admission: Admission | None = None
    """What it is, where it has an identity: an earlier owner may have admitted it."""


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

    Args:
        record: as it was read.
        source: the ledger's name of its partition.
        rules: models, agents, limits.
    """
    max_bytes = rules.settings.limits.request_max_bytes
    try:
        if is_cancel(record):
            return Cancellation(decode_cancel(record, max_bytes).key)
        message, identity = decode_request(record, max_bytes)
    except CodecError as error:
        return Refused(dead_letter_record(record, source, error.code, error.detail))
    facts = _facts(record, source, message, identity, rules)
    value = record.value or b""
    try:
        facts = replace(
            facts,
            models=_models(message, identity, rules),
            reply_topic=_reply_topic(message, rules),
        )
    except _Refusal as refusal:
        reply = _failed(facts, message, refusal.code, refusal.detail)
        return Refused(reply, Admission(facts, value, hash_value(value)))
    return Admission(facts, value, hash_value(value))


def _facts(
    record: InboundRecord,
    source: str,
    message: Message,
    identity: Identity,
    rules: Rules,
) -> RequestFacts:
    limits = rules.settings.limits
    ttl_s = min(message.ttl_s or limits.ttl_s, limits.ttl_max_s)
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
        models=(),
        task_type=message.task_type.value,
        tokens=message.token_count or value_bytes // BYTES_PER_TOKEN,
        arrival_ms=record.timestamp_ms,
        deadline_ms=record.timestamp_ms + int(ttl_s * 1000),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        source=source,
        reply_topic=rules.settings.kafka.output_topic,
    )


def _group(message: Message, identity: Identity, rules: Rules) -> str:
    agent = rules.agent(identity.agent_id)
    return (agent and agent.group) or message.agent_group or identity.agent_id


def _models(message: Message, identity: Identity, rules: Rules) -> tuple[str, ...]:
    able = tuple(model.name for model in rules.models_for(message.task_type))
    if message.model_id:
        if rules.settings.model(message.model_id) is None:
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


def _failed(
    facts: RequestFacts, message: Message, code: ErrorCode, detail: str
) -> OutboundRecord:
    error = ReplyError(code=code, message=detail)
    return reply_record(facts, _failed_value(facts, message, error))


def expired_reply(admission: Admission) -> OutboundRecord:
    """Return what is sent when a repeated request's reply is no longer in Kafka."""
    return reply_record(admission.facts, ended_reply(admission, REPLY_EXPIRED))


def ended_reply(admission: Admission, error: ReplyError) -> bytes:
    """Return the failed reply of a request that ends without a call."""
    return _failed_value(admission.facts, decode_message(admission.payload), error)


def _failed_value(facts: RequestFacts, message: Message, error: ReplyError) -> bytes:
    identity = Identity(facts.agent_id, facts.correlation_id)
    # The class that it had here, which may not be the one that it asked for.
    return failed_reply(message, identity, error, priority=Priority(facts.cls))


def conflict(record: InboundRecord, source: str) -> OutboundRecord:
    """Return the dead letter of a request whose identity another payload has."""
    detail = "another payload already has this identity"
    return dead_letter_record(record, source, ErrorCode.CONFLICT, detail)


def poison(record: InboundRecord, source: str) -> OutboundRecord:
    """Return the dead letter of a request that ends the processes that run it."""
    return dead_letter_record(record, source, ErrorCode.POISON, POISON.message)
