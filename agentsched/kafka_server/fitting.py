"""Sends a short failed reply for one that Kafka finds too large; see `RecordSink`.

A stored reply never changes, so without this it would be refused again for ever: the
limit of a topic may be lower than `limits.reply_max_bytes`, and headers count, too.
"""

from concurrent.futures import Future
from dataclasses import replace

from agentsched.errors import DeliveryFailed
from agentsched.kafka_records import OutboundRecord, RecordAt
from agentsched.ports import RecordSink
from agentsched.replies import too_large_reply


class FittingSink:
    """Sends through another sink; what is no reply fails as it does there."""

    def __init__(self, sink: RecordSink) -> None:
        self._sink = sink

    def send(self, record: OutboundRecord) -> Future[RecordAt]:
        """See `RecordSink`."""
        sent: Future[RecordAt] = Future()
        sent.set_running_or_notify_cancel()

        def settle(sending: Future[RecordAt]) -> None:
            error = sending.exception()
            if error is None:
                sent.set_result(sending.result())
            else:
                sent.set_exception(error)

        def delivered(sending: Future[RecordAt]) -> None:
            short = _shorter(record, sending.exception())
            if short is None:
                settle(sending)
            else:
                self._sink.send(short).add_done_callback(settle)

        self._sink.send(record).add_done_callback(delivered)
        return sent

    def flush(self, timeout_s: float) -> int:
        """See `RecordSink`."""
        return self._sink.flush(timeout_s)

    def close(self, timeout_s: float) -> object:
        """See `RecordSink`."""
        return self._sink.close(timeout_s)


def _shorter(
    record: OutboundRecord, error: BaseException | None
) -> OutboundRecord | None:
    if not isinstance(error, DeliveryFailed) or not error.too_large:
        return None
    value = too_large_reply(record.value or b"", record.topic)
    return None if value is None else replace(record, value=value)
