"""The format of conflict records, written and read; pure.

A conflict record tells the sender of a request that its identity belongs to another
payload. It stands on the reply topic and is no reply: the identity keeps its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from agentsched.errors import ErrorCode
from agentsched.wire.codec import CONFLICT, PAYLOAD_HASH, Identity, encode_message
from agentsched.wire.records import OutboundRecord
from agentsched.wire.request_facts import RequestFacts
from agentsched.wire.source_record import HEADERS_VERSION, VERSIONS_READ

ADVICE = (
    "another request with this agent_id and correlation_id, of other content or"
    " options, came first; this one is not run: send it with a new correlation_id"
)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Which payload was refused, and under which identity."""

    identity: Identity
    payload_hash: str
    """32 hex digits, as `agentsched.wire.codec.hash_value` makes them."""


def conflict_record(facts: RequestFacts, payload_hash: str) -> OutboundRecord:
    """Address a conflict to whoever waits for the reply to the refused request.

    Args:
        facts: of the refused request.
        payload_hash: of its value.
    """
    ids = {"correlation_id": facts.correlation_id, "agent_id": facts.agent_id}
    source = {
        "topic": facts.topic,
        "partition": facts.partition,
        "offset": facts.offset,
    }
    body = {
        # Nobody who matches replies by their body may take it for one: it has neither
        # the ids in their places nor a status that is known there.
        **dict.fromkeys(ids),
        "status": CONFLICT,
        "content": None,
        "error": {"code": ErrorCode.CONFLICT, "message": ADVICE, "retryable": False},
        CONFLICT: {**ids, PAYLOAD_HASH: payload_hash, "source": source},
    }
    # The dead letter answers the request's offset, not this: no source in the headers.
    headers = {"kind": CONFLICT, **ids, PAYLOAD_HASH: payload_hash}
    return OutboundRecord(
        topic=facts.reply_topic,
        key=facts.correlation_id,
        value=encode_message(body),
        headers=headers | {"agentsched_version": str(HEADERS_VERSION)},
    )


def is_conflict(headers: Mapping[str, str]) -> bool:
    """Return whether a record of a reply topic is no reply, but tells of a conflict."""
    return headers.get("kind") == CONFLICT


def read_conflict(headers: Mapping[str, str]) -> Conflict | None:
    """Read a conflict record; None for everything else, and for unknown versions."""
    if not is_conflict(headers):
        return None
    if headers.get("agentsched_version") not in VERSIONS_READ:
        return None
    found = [
        headers.get(name, "") for name in ("agent_id", "correlation_id", PAYLOAD_HASH)
    ]
    if not all(found):
        return None
    agent_id, correlation_id, payload_hash = found
    return Conflict(Identity(agent_id, correlation_id), payload_hash)
