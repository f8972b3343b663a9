"""Bytes and headers -> requests and replies, and a message -> bytes; pure.

No text that this module raises repeats a record's content.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from agentsched.errors import CodecError, ErrorCode
from agentsched.types import (
    DEFAULT_AGENT_ID,
    MAX_LABEL_CHARACTERS,
    Message,
    Reply,
    TaskStatus,
    label_problem,
)
from agentsched.wire.json import JsonObject, read_object, read_plainly, write
from agentsched.wire.records import InboundRecord, OutboundRecord

CANCEL = "cancel"
"""The header `kind` of a record that cancels a request."""
CHUNK = "chunk"
"""The header `kind` of a record that carries a piece of a streamed reply."""
CONFLICT = "conflict"
"""The header `kind` of a record that says that a request was refused: its identity has
another payload; also what stands for a status in it."""
PAYLOAD_HASH = "payload_hash"
"""The header that names the payload which a reply answers; see `hash_value`."""
IDENTITY_FIELDS = ("agent_id", "correlation_id", "id")
LABELS = (
    "id",
    "task_type",
    "priority",
    "agent_group",
    "session_id",
    "model_id",
    "reply_topic",
)
"""Fields of a request that a reply echoes, and where it goes."""
_TRACEPARENT = re.compile(
    "(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
"""Version, trace, span and flags; a trace or a span of zeros is none."""
_TERMINAL = tuple(status.value for status in TaskStatus)
_NOTHING = JsonObject({})


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


class AnswerableError(CodecError):
    """A record says whose request it is, but is none: its sender can be answered.

    Attributes:
        labels: what a reply echoes, as far as it is valid.
        identity: who asked.
    """

    def __init__(self, detail: str, labels: Message, identity: Identity) -> None:
        """Keep what a failed reply needs beside the reason."""
        super().__init__(ErrorCode.INVALID_REQUEST, detail)
        self.labels = labels
        self.identity = identity


def decode_request(record: InboundRecord, max_bytes: int) -> tuple[Message, Identity]:
    """Read a request.

    Args:
        record: as it was read from an input topic.
        max_bytes: the largest value that is accepted.

    Raises:
        AnswerableError: it is no request, but says whose it is: answer it.
        CodecError: TOO_LARGE, MALFORMED or MISSING_IDENTITY; the record cannot be
            answered and belongs into the dead-letter topic.
    """
    _check_record(record, max_bytes)
    _refuse_what_is_ours(None, record)
    try:
        found = read_object(record.value or b"")
    except CodecError as error:
        if not record.headers.get("correlation_id"):
            raise
        # No body that could say otherwise: the headers name the sender.
        identity = _identity(_NOTHING, record.headers)
        raise AnswerableError(error.detail, Message(), identity) from None
    _refuse_what_is_ours(found.fields.get("status"), record)
    try:
        identity = _identity(found, record.headers)
    except CodecError as error:
        labels = _labels(found.fields)
        identity = _identity_of_headers(error, found, record.headers)
        raise AnswerableError(error.detail, labels, identity) from None
    if "kind" in record.headers:
        detail = f"header kind: must be {CANCEL}, or not there"
        raise AnswerableError(detail, _labels(found.fields), identity)
    try:
        return _validated(found, Message), identity
    except CodecError as error:
        labels = _labels(found.fields)
        raise AnswerableError(error.detail, labels, identity) from None


def traceparent_in(headers: Mapping[str, str]) -> str:
    """Return a record's W3C trace context; empty: it has none, or one that is none."""
    value = headers.get("traceparent", "")
    return value if _TRACEPARENT.fullmatch(value) else ""


def is_cancel(record: InboundRecord) -> bool:
    """Return whether a record of an input topic cancels a request."""
    return record.headers.get("kind") == CANCEL


def decode_cancel(record: InboundRecord, max_bytes: int) -> Identity:
    """Read whose request a cancel record ends: as in a request, or headers only.

    Raises:
        CodecError: as `decode_request`.
    """
    _check_record(record, max_bytes)
    found = read_object(record.value) if record.value else _NOTHING
    return _identity(found, record.headers)


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


def _check_record(record: InboundRecord, max_bytes: int) -> None:
    if record.problem:
        raise CodecError(ErrorCode.MALFORMED, record.problem)
    size = len(record.value or b"")
    if size > max_bytes:
        raise CodecError(ErrorCode.TOO_LARGE, f"{size} bytes, the limit is {max_bytes}")


def _refuse_what_is_ours(status: object, record: InboundRecord) -> None:
    """A reply on an input topic is not answered: that could go round for ever."""
    kind = record.headers.get("kind")
    if status in (*_TERMINAL, CONFLICT) or kind in (CHUNK, CONFLICT):
        raise CodecError(ErrorCode.MALFORMED, "this is a reply, on an input topic")


def _identity(found: JsonObject, headers: Mapping[str, str]) -> Identity:
    """Return who asks; the body wins over the headers."""
    for name in IDENTITY_FIELDS:
        if name in found.twice:
            raise CodecError(ErrorCode.MALFORMED, f"{name}: {_id_problem(found, name)}")
    agent_id = _id(found, "agent_id") or headers.get("agent_id") or DEFAULT_AGENT_ID
    correlation_id = (
        _id(found, "correlation_id")
        or headers.get("correlation_id")
        or _id(found, "id")
    )
    if not correlation_id:
        raise CodecError(ErrorCode.MISSING_IDENTITY, "no correlation_id and no id")
    for name, value in (
        ("agent_id", agent_id),
        ("correlation_id", correlation_id),
    ):
        if (problem := label_problem(value)) is not None:
            raise CodecError(ErrorCode.MALFORMED, f"{name}: {problem}")
    return Identity(agent_id, correlation_id)


def _identity_of_headers(
    error: CodecError, found: JsonObject, headers: Mapping[str, str]
) -> Identity:
    """Return whom to tell that an id in the body is wrong.

    Its header has to stand in for each that is wrong there; without it nobody is told,
    because a guess would answer somebody else.

    Raises:
        CodecError: `error`.
    """
    right = {
        name: value
        for name, value in found.fields.items()
        if name not in IDENTITY_FIELDS or _id_problem(found, name) is None
    }
    wrong = {"agent_id", "correlation_id"} & (found.fields.keys() - right.keys())
    if not all(headers.get(name) for name in wrong):
        raise error
    try:
        return _identity(JsonObject(right), headers)
    except CodecError:
        raise error from None


def _id_problem(found: JsonObject, name: str) -> str | None:
    value = found.fields.get(name)
    if name in found.twice:
        # The next reader may take the other one.
        return "stands twice"
    if value is None:
        return None
    return label_problem(value) if isinstance(value, str) else "must be text"


def names_in(record: InboundRecord) -> tuple[str, str]:
    """Return (agent_id, correlation_id) as far as they can be read; never raises.

    For people who look for a record: it is no identity, and may hold any characters.
    """
    try:
        fields, nobody = read_object(record.value or b"").fields, DEFAULT_AGENT_ID
    except CodecError:
        fields, nobody = {}, ""
    agent_id = fields.get("agent_id") or record.headers.get("agent_id") or nobody
    ids = (
        fields.get("correlation_id"),
        record.headers.get("correlation_id"),
        fields.get("id"),
    )
    named = next((each for each in ids if each), None)
    return _shown(agent_id), _shown(named)


def _shown(name: object) -> str:
    text = name if isinstance(name, str) else "" if name is None else repr(name)
    return text[:MAX_LABEL_CHARACTERS]


def _id(found: JsonObject, name: str) -> str | None:
    value = found.fields.get(name)
    if value is not None and not isinstance(value, str):
        raise CodecError(ErrorCode.MALFORMED, f"{name}: must be text")
    return value


def decode_message(value: bytes) -> Message:
    """Read a request or a reply (it has a `status`) from a record's value.

    Raises:
        CodecError: MALFORMED; the text names the wrong fields and no content.
    """
    plain = read_plainly(value)
    found = read_object(value) if plain is None else JsonObject(plain)
    terminal = found.fields.get("status") in _TERMINAL
    return _validated(found, Reply if terminal else Message)


def labels_of(value: bytes) -> Message:
    """Read what a reply echoes of a request, as far as it is valid; never raises."""
    try:
        return _labels(read_object(value).fields)
    except CodecError:
        return Message()


def _labels(fields: Mapping[str, Any]) -> Message:
    valid: dict[str, Any] = {}
    for name in LABELS:
        try:
            one = Message.model_validate({name: fields.get(name)})
        except ValidationError:
            continue
        valid[name] = getattr(one, name)
    return Message(**valid)


def _validated(found: JsonObject, kind: type[Message]) -> Message:
    if found.problem:
        raise CodecError(ErrorCode.MALFORMED, found.problem)
    try:
        return kind.model_validate(found.fields)
    except ValidationError as error:
        raise CodecError(ErrorCode.MALFORMED, _explained(error)) from None


def _explained(error: ValidationError) -> str:
    """Say for each wrong field what it must be; never what it is."""
    said: dict[str, str] = {}
    for problem in error.errors(include_input=False, include_url=False):
        name = str(problem["loc"][0])
        said.setdefault(name, problem["msg"].removeprefix("Value error, "))
    return "; ".join(f"{name}: {text}" for name, text in sorted(said.items()))


def encode_message(
    message: Message | Mapping[str, Any],
    errors: Literal["replace", "strict"] = "replace",
) -> bytes:
    """Write a request or reply as a record's value; fields that are None stay.

    Args:
        message: or its fields.
        errors: what becomes of half of a surrogate pair, which is not UTF-8: a `?`, or
            a UnicodeEncodeError.
    """
    data = message.model_dump(mode="json") if isinstance(message, Message) else message
    # What is strict says of NaN that it is no JSON; the fast writer makes it null.
    written = write(data) if errors == "replace" else None
    if written is not None:
        return written
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", errors)
