"""confluent-kafka's message -> `InboundRecord`."""

import time
from collections.abc import Mapping

import confluent_kafka
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME

from agentsched.kafka_records import InboundRecord

SENDER_AHEAD_MS = 86_400_000
"""No sender's clock is ahead of the broker's by more, it is hoped."""


def inbound(message: confluent_kafka.Message) -> InboundRecord:
    """Return what was read; text that is not UTF-8 gets replacement characters."""
    kind, timestamp_ms = message.timestamp()
    written_after_ms = timestamp_ms
    if kind != TIMESTAMP_LOG_APPEND_TIME or timestamp_ms < 0:
        # Any other time is of the sender's clock: deadlines count from now instead.
        written_after_ms = max(0, timestamp_ms - SENDER_AHEAD_MS)
        timestamp_ms = round(time.time() * 1000)
    offset = message.offset()
    return InboundRecord(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=-1 if offset is None else offset,
        timestamp_ms=timestamp_ms,
        value=message.value(),
        headers=text_headers(message),
        written_after_ms=written_after_ms,
    )


def text_headers(message: confluent_kafka.Message) -> dict[str, str]:
    """Return the headers as text; other bytes become replacement characters."""
    return _text(_headers(message))


def _text(headers: Mapping[str, str | bytes | None]) -> dict[str, str]:
    return {
        name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for name, value in headers.items()
        if value is not None
    }


def _headers(message: confluent_kafka.Message) -> dict[str, str | bytes | None]:
    """The client fails on a header whose name is not UTF-8: then there are none."""
    try:
        return dict(message.headers() or ())
    except (SystemError, UnicodeDecodeError):
        return {}
