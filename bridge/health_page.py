"""The bridge's port and its poll of Kafka: threads beside the loop, never in it."""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from agentsched.config.settings import Settings
from agentsched.kafka.admin.end_offsets import EndOffsets
from agentsched.kafka.errors import KafkaFailed
from agentsched.telemetry.health import Poller
from agentsched.telemetry.meters import Meters
from agentsched.telemetry.page import Page
from agentsched.wire.records import Partition
from bridge.gauges import BridgeMeter

ASK_EVERY_S = 2.0
ASK_TIMEOUT_S = 3.0
GOOD_FOR_S = 15.0
STOP_S = 5.0


class KafkaWatch:
    """Asks Kafka now and then where the bridge's partitions end.

    Args:
        settings: where Kafka is.
        owned: the bridge's partitions now; called in this watch's thread.
    """

    def __init__(
        self, settings: Settings, owned: Callable[[], Collection[Partition]]
    ) -> None:
        self._client = EndOffsets(settings.kafka)
        self._owned = owned
        self.ends: Mapping[Partition, int] = MappingProxyType({})
        """What was answered last; a new mapping each time."""
        self.poller = Poller(
            "Kafka",
            self._ask,
            expected=KafkaFailed,
            every_s=ASK_EVERY_S,
            good_for_s=GOOD_FOR_S,
        )

    def stop(self) -> None:
        """End the thread and the client; idempotent."""
        self.poller.stop(STOP_S)
        self._client.close()

    def _ask(self) -> None:
        self.ends = self._client.ask(self._owned(), ASK_TIMEOUT_S)


class BridgePage(Page):
    """One bridge's port, with the poll of Kafka that its pages need.

    Args:
        settings: the section `http`, and where Kafka is.
        meters: what /metrics shows.
        meter: what the bridge knows of its own health.
        kafka: runs as long as the page.
    """

    def __init__(
        self, settings: Settings, meters: Meters, meter: BridgeMeter, kafka: KafkaWatch
    ) -> None:
        self._kafka = kafka
        super().__init__(
            settings.http,
            settings.http.bridge_port,
            meters.registry,
            live={"loop": meter.loop.check, "Kafka thread": meter.kafka_thread.check},
            ready=meter.checks() | {"kafka": kafka.poller.check},
        )

    def start(self) -> None:
        """Listen, and start the poll; call it once. Raises ConfigurationError."""
        super().start()
        self._kafka.poller.start()

    def stop(self) -> None:
        """Close the port and end the poll; idempotent."""
        self._kafka.stop()
        super().stop()
