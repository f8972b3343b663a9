"""Bytes and headers <-> requests and replies; pure, and the only place that knows JSON.

No text that this module raises repeats a record's content.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from agentsched.errors import CodecError, ErrorCode
from agentsched.kafka_records import InboundRecord, OutboundRecord
from agentsched.ledger.records import RequestFacts
from agentsched.origin import Origin
from agentsched.types import (
    DEFAULT_AGENT_ID,
    Message,
    Reply,
    ReplyError,
    TaskStatus,
)

ID_MAX_CHARACTERS = 512
CANCEL = "cancel"
"""The header `kind` of a record that cancels a request."""
DEAD_LETTER_VALUE_BYTES = 983_040
DEAD_LETTER_HEADER_BYTES = 32_768
"""Together with our own headers below 1 MiB, the broker's default limit."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asked what: (agent_id, correlation_id)."""

    agent_id: str
    correlation_id: str

    @property
    def key(self) -> str:
        """32 hex digits that stand for the identity in ledger and doorbells."""
        text = json.dumps([self.agent_id, self.correlation_id])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def hash_value(value: bytes) -> str:
    """Return 32 hex digits that stand for a record's value."""
    return hashlib.blake2b(value, digest_size=16).hexdigest()


def decode_request(record: InboundRecord, max_bytes: int) -> tuple[Message, Identity]:
    """Read a request.

    Args:
        record: as it was read from an input topic.
        max_bytes: the largest value that is accepted.

    Raises:
        CodecError: TOO_LARGE, MALFORMED or MISSING_IDENTITY; the record cannot be
            answered and belongs into the dead-letter topic.
    """
    value = record.value or b""
    if len(value) > max_bytes:
        raise CodecError(
            ErrorCode.TOO_LARGE, f"{len(value)} bytes, the limit is {max_bytes}"
        )
    message = decode_message(value)
    return message, _identity(message, record.headers)


def is_cancel(record: InboundRecord) -> bool:
    """Return whether a record of an input topic cancels a request."""
    return record.headers.get("kind") == CANCEL


def decode_cancel(record: InboundRecord, max_bytes: int) -> Identity:
    """Read whose request a cancel record ends: as in a request, or headers only.

    Raises:
        CodecError: as `decode_request`.
    """
    if not record.value:
        return _identity(Message(), record.headers)
    return decode_request(record, max_bytes)[1]


def cancel_record(identity: Identity, topic: str) -> OutboundRecord:
    """Make the record that cancels a request, read or not yet read.

    Args:
        identity: whose request.
        topic: any input topic; the request's own is the quickest.
    """
    ids = {"agent_id": identity.agent_id, "correlation_id": identity.correlation_id}
    return OutboundRecord(
        topic=topic,
        key=identity.correlation_id,
        value=encode_message(ids),
        headers={"kind": CANCEL, **ids},
    )


def _identity(message: Message, headers: Mapping[str, str]) -> Identity:
    """Return who asks; the body wins over the headers."""
    agent_id = message.agent_id or headers.get("agent_id") or DEFAULT_AGENT_ID
    correlation_id = (
        message.correlation_id or headers.get("correlation_id") or message.id
    )
    if not correlation_id:
        raise CodecError(ErrorCode.MISSING_IDENTITY, "no correlation_id and no id")
    if max(len(agent_id), len(correlation_id)) > ID_MAX_CHARACTERS:
        raise CodecError(
            ErrorCode.MALFORMED, f"an id is longer than {ID_MAX_CHARACTERS} characters"
        )
    return Identity(agent_id, correlation_id)


def decode_message(value: bytes) -> Message:
    """Read a request or a reply (it has a `status`) from a record's value.

    Raises:
        CodecError: MALFORMED; the text names the wrong fields and no content.
    """
    data = _read_json(value)
    status = data.get("status")
    terminal = isinstance(status, str) and status in set(TaskStatus)
    try:
        return (Reply if terminal else Message).model_validate(data)
    except ValidationError as error:
        fields = sorted({str(problem["loc"][0]) for problem in error.errors()})
        raise CodecError(
            ErrorCode.MALFORMED, f"wrong type or value of: {', '.join(fields)}"
        ) from None


def _read_json(value: bytes) -> dict[str, Any]:
    """Read a JSON object that can also be written again as UTF-8 JSON."""
    try:
        data = json.loads(value, parse_constant=_refuse_constant)
        if b"\\u" in value:  # only an escape can bring in half of a surrogate pair
            json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise CodecError(
            ErrorCode.MALFORMED, "the value is not JSON that other programs can read"
        ) from None
    if not isinstance(data, dict):
        raise CodecError(ErrorCode.MALFORMED, "the value is not a JSON object")
    return data


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def encode_message(message: Message | Mapping[str, Any]) -> bytes:
    """Write a request or reply as a record's value; fields that are None stay."""
    data = message.model_dump(mode="json") if isinstance(message, Message) else message
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )


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


def dead_letter_topic(topic: str) -> str:
    """Return where what cannot be answered on an input topic goes."""
    return f"{topic}.dead_letter"


def dead_letter_record(
    record: InboundRecord, source: str, code: ErrorCode, detail: str
) -> OutboundRecord:
    """Address a record that cannot be answered to `<topic>.dead_letter`.

    Args:
        record: kept as it was: value, headers and where it stood. What is too large for
            a broker's default limit is left out and said; the source record has it.
        source: the ledger's name of its partition.
        code: the reason for machines.
        detail: the reason for people, without content.
    """
    value = record.value
    headers = dict(record.headers)
    if len(value or b"") > DEAD_LETTER_VALUE_BYTES:
        headers["value_omitted_bytes"] = str(len(value or b""))
        value = None
    if sum(len(name) + 4 * len(text) for name, text in headers.items()) > (
        DEAD_LETTER_HEADER_BYTES
    ):
        headers = {"headers_omitted": str(len(headers))}
    return OutboundRecord(
        topic=dead_letter_topic(record.topic),
        value=value,
        headers={
            **headers,
            "reason": code.value,
            "reason_detail": detail,
            "source_timestamp_ms": str(record.timestamp_ms),
            **Origin.of(source, record.offset).headers(),
        },
    )
