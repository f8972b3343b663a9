"""confluent-kafka's message -> `InboundRecord`."""

import gc
import operator
import time
from collections.abc import Callable

import confluent_kafka
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME

from agentsched.wire.records import Headers, InboundRecord

SENDER_AHEAD_MS = 86_400_000
"""No sender's clock is ahead of the broker's by more, it is hoped."""


_client_headers: Callable[
    [confluent_kafka.Message],
    dict[str, str | bytes | None] | list[tuple[str, str | bytes | None]] | None,
] = operator.methodcaller("headers")
"""Not `message.headers()`: once Python has specialized that call it no longer checks
whether an error was set beside the result, which then ends anything else, or the process."""
NO_TEXT = "\N{REPLACEMENT CHARACTER}"
"""The name of a header whose name is not UTF-8."""


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
    headers = text_headers(message)
    return InboundRecord(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=-1 if offset is None else offset,
        timestamp_ms=timestamp_ms,
        value=message.value(),
        headers=Headers() if headers is None else headers,
        key=message.key(),
        written_after_ms=written_after_ms,
        problem="" if headers is not None else "its headers cannot be read",
    )


def text_headers(message: confluent_kafka.Message) -> Headers | None:
    """Return the headers; None where the client does not give them.

    One whose name is not UTF-8 is called U+FFFD, because nobody else can be called so: an
    id or a `kind` beside it counts.
    """
    try:
        headers = _client_headers(message) or ()
    except (SystemError, UnicodeDecodeError):
        return _decoded_in_part(message)
    return Headers(headers.items() if isinstance(headers, dict) else headers)


def _decoded_in_part(message: confluent_kafka.Message) -> Headers | None:
    """Ask again: the client has decoded all that it can by now.

    It forgot to clear its error (`c_headers_to_py` in 2.16.1), so that the first call
    failed; the second one returns them.
    """
    try:
        headers = _client_headers(message) or ()
    except (SystemError, UnicodeDecodeError):
        return None
    return None if isinstance(headers, dict) else Headers(map(_named, headers))


def _named(pair: tuple[str, str | bytes | None]) -> tuple[str, str | bytes | None]:
    """Give the client's pair a name if it has none.

    Its place is empty then (a null pointer): to touch it would end the process. What
    the pair holds can be counted without that.
    """
    held = gc.get_referents(pair)
    return pair if len(held) == len(pair) else (NO_TEXT, pair[1])
