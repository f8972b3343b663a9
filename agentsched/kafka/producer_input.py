"""What may be handed to a `Producer`, and what its client is given.

All is checked here: Kafka's client ends the whole process at a header name that is not
UTF-8, and cuts text off at a zero byte without a word (confluent-kafka 2.16.1).
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agentsched.kafka.errors import RecordRefused
from agentsched.types import Message
from agentsched.wire.records import Headers as RecordHeaders
from agentsched.wire.records import OutboundRecord

Bytes = bytes | bytearray | memoryview
Value = Mapping[str, Any] | Message | Bytes | str
Headers = Mapping[str, str | Bytes | None]
Key = str | Bytes

Pairs = list[tuple[str, str | bytes | None]]

ANY_PARTITION = -1
"""The client chooses, by the key."""
MAX_PARTITION = 2**31 - 1
SHOWN_CHARACTERS = 60
"""Of a name, in an error."""
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True)
class CheckedRecord:
    """What the client takes as it is."""

    topic: str
    value: bytes | None
    key: bytes | None
    headers: Pairs
    partition: int = ANY_PARTITION


def checked(
    value: Value, topic: str, headers: Headers | None, key: Key | None
) -> CheckedRecord:
    """Return what `Producer.produce` was handed.

    Raises:
        RecordRefused: the client could not take it as it is.
    """
    headers = {} if headers is None else headers
    if not isinstance(headers, Mapping):
        raise RecordRefused(
            f"headers must be a mapping of names, not {type(headers).__name__}"
        )
    pairs, data = _pairs(headers.items()), as_bytes(value)
    if key is None:
        key = correlation_id(value, headers)
    return CheckedRecord(as_topic(topic), data, as_key(key), pairs)


def checked_outbound(record: OutboundRecord) -> CheckedRecord:
    """Return what `Producer.send` was handed.

    Raises:
        RecordRefused: the client could not take it as it is.
    """
    partition = ANY_PARTITION if record.partition is None else record.partition
    if not ANY_PARTITION <= partition <= MAX_PARTITION:
        raise RecordRefused("no partition has such a number")
    return CheckedRecord(
        as_topic(record.topic),
        record.value,
        as_key(record.key),
        _pairs(RecordHeaders.of(record.headers).pairs),
        partition,
    )


def as_bytes(value: Value) -> bytes:
    """Return the bytes of a record's value; bytes stay as they are.

    Raises:
        RecordRefused: it is none of these, or holds what is not JSON or not UTF-8.
    """
    if isinstance(value, Bytes):
        return bytes(value)
    if isinstance(value, str):
        return _utf_8("the value", value)
    if isinstance(value, Message):
        fields = value.model_dump(mode="json")
    elif isinstance(value, Mapping):
        fields = dict(value)
    else:
        raise RecordRefused(
            "the value must be a message, its fields, text or bytes, not"
            f" {type(value).__name__}"
        )
    try:
        text = json.dumps(
            fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        )
    except (TypeError, ValueError, RecursionError):
        raise RecordRefused("the value holds what is not JSON") from None
    return _utf_8("the value", text)


def _pairs(headers: Iterable[tuple[object, object]]) -> Pairs:
    pairs: Pairs = []
    for name, value in headers:
        text = header_name(name)
        pairs.append((text, header_value(text, value)))
    return pairs


def header_name(name: object) -> str:
    """Return a header's name, which is text in UTF-8 without a zero byte.

    Raises:
        RecordRefused: it is not.
    """
    if not isinstance(name, str):
        raise RecordRefused(
            f"the name of a header must be text, not {type(name).__name__}"
        )
    _utf_8(f"the name of header {_shown(name)}", name)
    if "\0" in name:
        raise RecordRefused(f"the name of header {_shown(name)} has a zero byte")
    return name


def header_value(name: str, value: object) -> bytes | None:
    """Return the bytes of a header's value.

    Raises:
        RecordRefused: it is neither text in UTF-8 nor bytes nor None.
    """
    what = f"header {_shown(name)}"
    return None if value is None else _text_or_bytes(what, value, "text, bytes or None")


def as_key(key: object) -> bytes | None:
    """Return the bytes of a record's key.

    Raises:
        RecordRefused: it is neither text in UTF-8 nor bytes nor None.
    """
    return None if key is None else _text_or_bytes("the key", key, "text or bytes")


def as_topic(topic: object) -> str:
    """Return a name that a topic can have.

    Raises:
        RecordRefused: Kafka has no topic of such a name.
    """
    if not isinstance(topic, str):
        raise RecordRefused(
            f"the name of a topic must be text, not {type(topic).__name__}"
        )
    if _TOPIC.fullmatch(topic) and topic not in (".", ".."):
        return topic
    raise RecordRefused(
        f"no topic can be named {_shown(topic)}: a name is 1 to 249 of a-z, A-Z, 0-9, '.',"
        " '_' and '-'"
    )


def correlation_id(value: Value, headers: Headers) -> Key | None:
    """Return what identifies the value: from its headers, else from its fields."""
    if found := headers.get("correlation_id"):
        return found
    if isinstance(value, Message):
        return value.correlation_id
    found = value.get("correlation_id") if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else None


def _text_or_bytes(what: str, value: object, wanted: str) -> bytes:
    if isinstance(value, Bytes):
        return bytes(value)
    if isinstance(value, str):
        return _utf_8(what, value)
    raise RecordRefused(f"{what} must be {wanted}, not {type(value).__name__}")


def _utf_8(what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        where = error.start
    raise RecordRefused(
        f"{what} cannot be written in UTF-8: half of a surrogate pair at {where}"
    )


def _shown(name: str) -> str:
    return ascii(name[:SHOWN_CHARACTERS])
