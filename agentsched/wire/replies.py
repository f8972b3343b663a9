"""Makes replies: a request's own labels, its answer or error, and where it goes; pure.

No text of a reply that is made here repeats the request's content.
"""

from typing import Any

from agentsched.errors import CodecError, ErrorCode
from agentsched.types import Message, Reply, ReplyError, TaskStatus
from agentsched.wire.codec import PAYLOAD_HASH, Identity, decode_message, encode_message
from agentsched.wire.records import OutboundRecord
from agentsched.wire.request_facts import RequestFacts
from agentsched.wire.source_record import SourceRecord

_NO_ANSWER = dict.fromkeys(
    (
        "content",
        "tool_calls",
        "function_call",
        "reasoning",
        "finish_reason",
        "usage",
    )
)
"""The fields of a model's answer, in a reply that has none."""


def reply_to(request: Message, identity: Identity, **answer: Any) -> Reply:  # noqa: ANN401
    """Make a reply: the request's own labels, never its content, and the answer.

    Args:
        request: what was asked.
        identity: who asked.
        answer: further fields of `Reply`; `status` is one of them.
    """
    labels: dict[str, Any] = {
        "id": request.id,
        "task_type": request.task_type,
        "priority": request.priority,
        "correlation_id": identity.correlation_id,
        "agent_id": identity.agent_id,
        "agent_group": request.agent_group,
        "session_id": request.session_id,
        "model_id": request.model_id,
    }
    return Reply(**labels | answer)


def failed_reply(
    request: Message,
    identity: Identity,
    error: ReplyError,
    **answer: Any,  # noqa: ANN401
) -> bytes:
    """Write the reply that says why there is no answer; see `reply_to`."""
    reply = reply_to(request, identity, status=TaskStatus.FAILED, error=error, **answer)
    return encode_message(reply)


def too_large_reply(value: bytes, topic: str) -> bytes | None:
    """Write the failed reply that goes instead of one that a topic does not take.

    Always the same for the same reply. None: the value is no completed reply.

    Args:
        value: the reply that Kafka refused.
        topic: where it should go; the text names it.
    """
    try:
        reply = decode_message(value)
    except CodecError:
        return None
    if not isinstance(reply, Reply) or reply.status is not TaskStatus.COMPLETED:
        return None
    error = ReplyError(
        code=ErrorCode.REPLY_TOO_LARGE,
        message=f"the reply has {len(value)} bytes, more than topic {topic!r} takes"
        " (max.message.bytes); ask for fewer tokens (params.max_tokens)",
    )
    changed = {"status": TaskStatus.FAILED, "error": error, **_NO_ANSWER}
    return encode_message(reply.model_copy(update=changed))


def reply_record(
    facts: RequestFacts, value: bytes, payload_hash: str
) -> OutboundRecord:
    """Address a stored reply: keyed and headed by correlation id, with its source.

    Args:
        facts: of the request.
        value: the reply.
        payload_hash: of the request's value, so that nobody who asked something else
            under this identity takes the reply; "": not known.
    """
    payload = {PAYLOAD_HASH: payload_hash} if payload_hash else {}
    trace = {"traceparent": facts.traceparent} if facts.traceparent else {}
    return OutboundRecord(
        topic=facts.reply_topic,
        key=facts.correlation_id,
        value=value,
        headers={
            "correlation_id": facts.correlation_id,
            "agent_id": facts.agent_id,
            **trace,
            **payload,
            **SourceRecord.of(facts.source, facts.offset).headers(),
        },
    )
