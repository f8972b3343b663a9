"""Measures what a process asks of Redis and Kafka, from outside of the adapters."""

from collections.abc import Callable
from concurrent.futures import Future
from time import perf_counter

from agentsched.protocols import RecordSink
from agentsched.telemetry.meters import Meters
from agentsched.telemetry.metrics import (
    KAFKA_DELIVERY_FAILURES,
    KAFKA_DELIVERY_SECONDS,
    REDIS_STEP_FAILURES,
    REDIS_STEP_SECONDS,
)
from agentsched.wire.records import OutboundRecord, RecordAt


def step_meter(meters: Meters) -> Callable[[str, float, str], None]:
    """Return what `RedisLedger.of(on_step=...)` tells of every step."""

    def ended(step: str, took_s: float, error: str) -> None:
        meters.observe(REDIS_STEP_SECONDS, took_s, step)
        if error:
            meters.count(REDIS_STEP_FAILURES, step, error)

    return ended


class MeteredSink:
    """Sends through another sink and counts what Kafka acknowledges; see `RecordSink`."""

    def __init__(self, sink: RecordSink, meters: Meters) -> None:
        self._sink = sink
        self._meters = meters

    def send(self, record: OutboundRecord) -> Future[RecordAt]:
        """See `RecordSink`."""
        started = perf_counter()

        def delivered(sending: Future[RecordAt]) -> None:
            if sending.cancelled() or sending.exception():
                self._meters.count(KAFKA_DELIVERY_FAILURES)
            else:
                took_s = perf_counter() - started
                self._meters.observe(KAFKA_DELIVERY_SECONDS, took_s)

        sending = self._sink.send(record)
        sending.add_done_callback(delivered)
        return sending

    def flush(self, timeout_s: float) -> int:
        """See `RecordSink`."""
        return self._sink.flush(timeout_s)

    def close(self, timeout_s: float) -> object:
        """See `RecordSink`."""
        return self._sink.close(timeout_s)
