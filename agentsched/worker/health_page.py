"""A worker's port: its health put together, and the poll of Kafka that it needs."""

from agentsched.config.settings import Settings
from agentsched.kafka.errors import KafkaFailed
from agentsched.kafka.producer import Producer
from agentsched.telemetry.health import Indicator, Poller
from agentsched.telemetry.meters import Meters
from agentsched.telemetry.page import Page
from agentsched.worker.observer import WorkerObserver

REACH_EVERY_S = 5.0
REACH_TIMEOUT_S = 3.0
GOOD_FOR_S = 3 * REACH_EVERY_S
STOP_S = 5.0


class WorkerPage(Page):
    """One worker process's port.

    Args:
        settings: the section `http`, and where replies go.
        meters: what /metrics shows.
        observer: knows the keeper and Redis.
        calls: the loop on which calls run.
        producer: writes the replies; asked now and then whether it reaches Kafka.
    """

    def __init__(
        self,
        settings: Settings,
        meters: Meters,
        observer: WorkerObserver,
        calls: Indicator,
        producer: Producer,
    ) -> None:
        topic = settings.kafka.output_topic
        self._kafka = Poller(
            "Kafka",
            lambda: producer.reach(topic, REACH_TIMEOUT_S),
            expected=KafkaFailed,
            every_s=REACH_EVERY_S,
            good_for_s=GOOD_FOR_S,
        )
        super().__init__(
            settings.http,
            settings.http.worker_port,
            meters.registry,
            live={"keeper": observer.loop.check, "calls": calls.check},
            ready=observer.checks() | {"producer": self._kafka.check},
        )

    def start(self) -> None:
        """Listen, and start the poll; call it once. Raises ConfigurationError."""
        super().start()
        self._kafka.start()

    def stop_poll(self) -> None:
        """End the poll, before the producer goes; idempotent."""
        self._kafka.stop(STOP_S)

    def stop(self) -> None:
        """Close the port; idempotent."""
        self.stop_poll()
        super().stop()
