"""confluent-kafka's message -> `InboundRecord`."""

import time

import confluent_kafka
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME

from agentsched.wire.records import Headers, InboundRecord

SENDER_AHEAD_MS = 86_400_000
"""No sender's clock is ahead of the broker's by more, it is hoped."""


def inbound(message: confluent_kafka.Message) -> InboundRecord:
    """Return what was read, with a time from which a deadline may count."""
    kind, timestamp_ms = message.timestamp()
    written_after_ms = timestamp_ms
    if kind != TIMESTAMP_LOG_APPEND_TIME or timestamp_ms < 0:
        # Any other time is of the sender's clock: deadlines count from now instead.
        written_after_ms = max(0, timestamp_ms - SENDER_AHEAD_MS)
        timestamp_ms = round(time.time() * 1000)
    return _record(message, timestamp_ms, written_after_ms)


def kept(message: confluent_kafka.Message) -> InboundRecord:
    """Return what Kafka keeps, with the time that stands there, whoever's clock."""
    return _record(message, message.timestamp()[1])


def _record(
    message: confluent_kafka.Message, timestamp_ms: int, written_after_ms: int = 0
) -> InboundRecord:
    offset = message.offset()
    return InboundRecord(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=-1 if offset is None else offset,
        timestamp_ms=timestamp_ms,
        value=message.value(),
        headers=text_headers(message),
        key=message.key(),
        written_after_ms=written_after_ms,
    )


def text_headers(message: confluent_kafka.Message) -> Headers:
    """Return the headers; none where a name is not UTF-8, on which the client fails."""
    try:
        headers = message.headers() or ()
        return Headers(headers.items() if isinstance(headers, dict) else headers)
    except (SystemError, UnicodeDecodeError):
        return Headers()
