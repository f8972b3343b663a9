"""What may be handed to `Producer.produce`, and what becomes of it."""

from collections.abc import Mapping
from typing import Any

from agentsched.types import Message
from agentsched.wire.codec import encode_message

Value = Mapping[str, Any] | Message | bytes | str
Headers = Mapping[str, str | bytes | None]


def as_bytes(value: Value) -> bytes:
    """Return the bytes of a record's value; bytes stay as they are."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return encode_message(value)


def correlation_id(value: Value, headers: Headers) -> str | bytes | None:
    """Return what identifies the value: from its headers, else from its fields."""
    if found := headers.get("correlation_id"):
        return found
    if isinstance(value, Message):
        return value.correlation_id
    found = value.get("correlation_id") if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else None
