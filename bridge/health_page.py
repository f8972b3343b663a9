"""The bridge's port and its watch over Kafka: threads beside the loop, never in it."""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from agentsched.config.settings import Settings
from agentsched.kafka.admin.end_offsets import EndOffsets
from agentsched.kafka.errors import KafkaFailed
from agentsched.telemetry.health import Health, Signal, Watch
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
        self.signal = Signal("Kafka", GOOD_FOR_S)
        self._watch = Watch(
            self._ask, self.signal, expected=KafkaFailed, every_s=ASK_EVERY_S
        )

    def start(self) -> None:
        """Start the thread; call it once."""
        self._watch.start()

    def stop(self) -> None:
        """End the thread and the client; again is harmless."""
        self._watch.stop(STOP_S)
        self._client.close()

    def _ask(self) -> None:
        self.ends = self._client.ask(self._owned(), ASK_TIMEOUT_S)


class BridgePage:
    """One bridge's port, with the watch that its pages need.

    Args:
        settings: the section `http`, and where Kafka is.
        meters: what /metrics shows.
        meter: what the bridge tells of its own health.
        kafka: runs as long as the page.
    """

    def __init__(
        self,
        settings: Settings,
        meters: Meters,
        meter: BridgeMeter,
        kafka: KafkaWatch,
    ) -> None:
        self._http = settings.http
        self._meters = meters
        self._kafka = kafka
        self._health = Health(
            pulses={"loop": meter.pulse},
            stuck_s=settings.http.stuck_s,
            checks=meter.checks() | {"kafka": kafka.signal.check},
        )
        self._page: Page | None = None

    @property
    def address(self) -> str:
        """Where it listens, `host:port`; empty: nowhere."""
        return self._page.address if self._page else ""

    def start(self) -> None:
        """Listen; call it once.

        Raises:
            ConfigurationError: see `Page`.
        """
        if self._http.enabled:
            self._page = Page(
                self._http, self._http.bridge_port, self._meters.registry, self._health
            )
        self._kafka.start()

    def stop(self) -> None:
        """Close the port and end the watch; again is harmless."""
        self._kafka.stop()
        if self._page is not None:
            self._page.stop()
