"""A worker's port: its health put together, and the watch over Kafka that it needs."""

from agentsched.config.settings import Settings
from agentsched.kafka.errors import KafkaFailed
from agentsched.kafka.producer import Producer
from agentsched.telemetry.health import Health, Pulse, Signal, Watch
from agentsched.telemetry.meters import Meters
from agentsched.telemetry.page import Page
from agentsched.worker.observer import WorkerObserver

REACH_EVERY_S = 5.0
REACH_TIMEOUT_S = 3.0
GOOD_FOR_S = 3 * REACH_EVERY_S
STOP_S = 5.0


class WorkerPage:
    """One worker process's port; it listens from its making on.

    Args:
        settings: the section `http`, and where replies go.
        meters: what /metrics shows.
        observer: knows the keeper and Redis.
        calls: the pulse of the loop on which calls run.
        producer: writes the replies; asked now and then whether it reaches Kafka.

    Raises:
        ConfigurationError: the port cannot be had.
    """

    def __init__(
        self,
        settings: Settings,
        meters: Meters,
        observer: WorkerObserver,
        calls: Pulse,
        producer: Producer,
    ) -> None:
        self._topic = settings.kafka.output_topic
        self._producer = producer
        kafka = Signal("Kafka", GOOD_FOR_S)
        self._watch = Watch(
            self._reach, kafka, expected=KafkaFailed, every_s=REACH_EVERY_S
        )
        http = settings.http
        health = Health(
            pulses={"keeper": observer.pulse, "calls": calls},
            stuck_s=http.stuck_s,
            checks=observer.checks() | {"producer": kafka.check},
        )
        self._page = (
            Page(http, http.worker_port, meters.registry, health)
            if http.enabled
            else None
        )

    @property
    def address(self) -> str:
        """Where it listens, `host:port`; empty: nowhere."""
        return self._page.address if self._page else ""

    def start(self) -> None:
        """Start the watch over Kafka; call it once."""
        self._watch.start()

    def stop_watch(self) -> None:
        """End the watch, before the producer goes; again is harmless."""
        self._watch.stop(STOP_S)

    def stop(self) -> None:
        """Close the port; again is harmless."""
        self.stop_watch()
        if self._page is not None:
            self._page.stop()

    def _reach(self) -> None:
        self._producer.reach(self._topic, REACH_TIMEOUT_S)
