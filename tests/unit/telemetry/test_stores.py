"""What is measured of Redis and Kafka."""

from concurrent.futures import Future

from agentsched.errors import DeliveryFailed
from agentsched.telemetry import metrics
from agentsched.telemetry.meters import MeteredSink, Meters
from agentsched.wire.records import OutboundRecord, RecordAt

RECORD = OutboundRecord("results", b"x")


class Sink:
    def __init__(self) -> None:
        self.sent: list[Future[RecordAt]] = []

    def send(self, record: OutboundRecord) -> Future[RecordAt]:
        self.sent.append(Future())
        return self.sent[-1]

    def flush(self, timeout_s: float) -> int:
        return int(timeout_s)

    def close(self, timeout_s: float) -> object:
        return f"closed in {timeout_s:g}"


def test_a_step_is_measured_and_its_failure_counted() -> None:
    meters = Meters("worker")
    meters.step_ended("claim", 0.002, "")
    meters.step_ended("claim", 5.0, "LedgerUnavailable")
    assert meters.value(metrics.REDIS_STEP_SECONDS, "claim", suffix="_count") == 2
    failed = meters.value(metrics.REDIS_STEP_FAILURES, "claim", "LedgerUnavailable")
    assert failed == 1


def test_a_delivery_is_measured_when_it_is_acknowledged() -> None:
    meters, sink = Meters("worker"), Sink()
    sending = MeteredSink(sink, meters).send(RECORD)
    assert meters.value(metrics.KAFKA_DELIVERY_SECONDS, suffix="_count") == 0
    sink.sent[0].set_result(RecordAt("results", 0, 1))
    assert sending.result(0) == RecordAt("results", 0, 1)
    assert meters.value(metrics.KAFKA_DELIVERY_SECONDS, suffix="_count") == 1
    assert meters.value(metrics.KAFKA_DELIVERY_FAILURES) == 0


def test_a_failed_delivery_is_counted() -> None:
    meters, sink = Meters("worker"), Sink()
    MeteredSink(sink, meters).send(RECORD)
    sink.sent[0].set_exception(DeliveryFailed("scripted"))
    assert meters.value(metrics.KAFKA_DELIVERY_FAILURES) == 1
    assert meters.value(metrics.KAFKA_DELIVERY_SECONDS, suffix="_count") == 0


def test_all_else_goes_through() -> None:
    metered = MeteredSink(Sink(), Meters("worker"))
    assert (metered.flush(3), metered.close(2)) == (3, "closed in 2")
