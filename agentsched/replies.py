"""Makes replies: a request's own labels, its answer or error, and where it goes; pure.

No text of a reply that is made here repeats the request's content.
"""

from typing import Any

from agentsched.codec import Identity, encode_message
from agentsched.kafka_records import OutboundRecord
from agentsched.ledger.records import RequestFacts
from agentsched.origin import Origin
from agentsched.types import Message, Reply, ReplyError, TaskStatus


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


def reply_record(facts: RequestFacts, value: bytes) -> OutboundRecord:
    """Address a stored reply: keyed and headed by correlation id, with its source."""
    return OutboundRecord(
        topic=facts.reply_topic,
        key=facts.correlation_id,
        value=value,
        headers={
            "correlation_id": facts.correlation_id,
            "agent_id": facts.agent_id,
            **Origin.of(facts.source, facts.offset).headers(),
        },
    )
