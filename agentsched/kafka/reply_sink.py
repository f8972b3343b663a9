"""Sends a reply another way where Kafka refuses it for good; see `RecordSink`.

A stored reply never changes, so without this it would be refused again for ever. Too
large for its topic (whose limit may be lower than `limits.reply_max_bytes`, and headers
count, too): a short failed reply goes instead. In a topic that is missing: it goes to
the output topic, which all replies go to that name no other.
"""

from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import replace
from time import monotonic

from typing_extensions import override

from agentsched.errors import DeliveryFailed
from agentsched.protocols import RecordSink
from agentsched.wire.records import OutboundRecord, RecordAt
from agentsched.wire.replies import too_large_reply


class ReplySink(RecordSink):
    """Sends through another sink; what is no reply fails as it does there.

    Args:
        sink: what sends.
        output_topic: where a reply goes whose own topic is missing.
        awaited_topics: topics whose records go nowhere else: those of dead letters. Any
            other was named by a request, and allowed when it was read: which ones are
            allowed now does not matter here.
        delivery_timeout_s: of `sink`. After so long no other way is begun: a record is in
            Kafka, or has failed, within twice that time. `timing.loss_grace_s` counts on it.
        now_s: the clock.
    """

    def __init__(
        self,
        sink: RecordSink,
        output_topic: str,
        awaited_topics: Collection[str] = (),
        delivery_timeout_s: float = 10.0,
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._sink = sink
        self._output_topic = output_topic
        self._awaited_topics = frozenset(awaited_topics) | {output_topic}
        self._delivery_timeout_s = delivery_timeout_s
        self._now_s = now_s

    @override
    def send(self, record: OutboundRecord) -> Future[RecordAt]:
        return self._send(record, self._now_s() + self._delivery_timeout_s)

    def _send(self, record: OutboundRecord, other_until_s: float) -> Future[RecordAt]:
        sent: Future[RecordAt] = Future()
        sent.set_running_or_notify_cancel()

        def settle(sending: Future[RecordAt]) -> None:
            error = sending.exception()
            if error is None:
                sent.set_result(sending.result())
            else:
                sent.set_exception(error)

        def delivered(sending: Future[RecordAt]) -> None:
            other = self._otherwise(record, sending.exception())
            if other is None or self._now_s() > other_until_s:
                settle(sending)
            else:
                self._send(other, other_until_s).add_done_callback(settle)

        self._sink.send(record).add_done_callback(delivered)
        return sent

    @override
    def flush(self, timeout_s: float) -> int:
        return self._sink.flush(timeout_s)

    @override
    def close(self, timeout_s: float) -> object:
        return self._sink.close(timeout_s)

    def _otherwise(
        self, record: OutboundRecord, error: BaseException | None
    ) -> OutboundRecord | None:
        """What to send instead; never twice the same way: it ends."""
        if not isinstance(error, DeliveryFailed):
            return None
        if error.no_topic and record.topic not in self._awaited_topics:
            return replace(record, topic=self._output_topic)
        if not error.too_large:
            return None
        value = too_large_reply(record.value or b"", record.topic)
        return None if value is None else replace(record, value=value)
