"""Reads every partition of some topics by itself: no group, no commit, nothing decided.

Who needs all records of a topic in one place (a client waiting for replies, a command
that shows them) reads with this; it goes on with partitions and topics made later.
"""

import logging
import time
from collections.abc import Mapping, Sequence

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from agentsched import forks
from agentsched.kafka.errors import KafkaFailed, PropertiesRefused, description_of
from agentsched.kafka.librdkafka import METADATA_REFRESH_S, topic_reader_properties
from agentsched.kafka.message import inbound
from agentsched.kafka.offsets import bounds, offsets_since
from agentsched.kafka.producer_input import as_topic
from agentsched.wire.records import InboundRecord, Partition

LOOK_S = 2.0
"""How long the look for new partitions may hold up reading when Kafka is silent."""
EVERYTHING_MS = 0
"""As `since_ms`: all that Kafka keeps."""

logger = logging.getLogger(__name__)


class TopicTail:
    """Records of all partitions, in the order of each partition.

    All methods are for one thread.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        topics: Sequence[str],
        *,
        since_ms: int | None = None,
        fetch_wait_ms: int = 100,
        properties: Mapping[str, object] | None = None,
    ) -> None:
        """Keep where Kafka is; nothing is opened before `open`.

        Args:
            bootstrap_servers: `host:port`, several with commas or as a sequence.
            topics: a topic may be created later; it is then read from its beginning.
            since_ms: None: what is appended from `open` on. Else milliseconds since
                the Unix epoch: what was appended then or later, as far as the broker
                can tell; 0 is all that it keeps.
            fetch_wait_ms: 10 on the embedded broker, which does not wake a fetch.
            properties: more librdkafka keys.

        Raises:
            PropertiesRefused: one of these is not as said (a ValueError).
            RecordRefused: no topic can have such a name (a ValueError).
        """
        self._properties = topic_reader_properties(
            bootstrap_servers, fetch_wait_ms, properties
        )
        self._topics = tuple(dict.fromkeys(map(as_topic, topics)))
        self._since_ms = since_ms
        self._begin()
        forks.in_child(self, TopicTail._begin_anew)

    def _begin(self) -> None:
        self._client: confluent_kafka.Consumer | None = None
        self._placed_once = False
        self._placed: set[Partition] = set()
        self._next_offset: dict[Partition, int] = {}
        self._ended: set[Partition] = set()
        self._look_at_s = 0.0
        self._warned: set[str] = set()
        self.problem = ""
        """What Kafka said last instead of a record; empty once records come again."""

    def _begin_anew(self) -> None:
        """In a forked child, which reads from the start again; see `agentsched.forks`."""
        if self._client is not None:
            forks.leave(self._client)
        self._begin()

    @property
    def at_end(self) -> bool:
        """Whether every partition has been read up to what was its end a moment ago."""
        return self._ended >= self._placed

    @property
    def missing(self) -> list[str]:
        """The topics that Kafka does not have (yet)."""
        there = {each.topic for each in self._placed}
        return [name for name in self._topics if name not in there]

    def open(self, timeout_s: float = 10.0) -> None:
        """Take all partitions that are there; after `close`, go on where it stopped.

        Blocks until Kafka said where they start and end, for about `timeout_s` at
        most; call it again to try again.

        Raises:
            PropertiesRefused: a key of `properties` is wrong.
            KafkaFailed: Kafka cannot be reached.
        """
        client = self._client = self._client or self._connect()
        try:
            self._take(client, self._there(client, timeout_s), timeout_s)
        except KafkaException as error:
            servers = self._properties["bootstrap.servers"]
            self.problem = description_of(error)
            raise KafkaFailed(
                f"cannot read {', '.join(self._topics)}: {self.problem}"
                f" (Kafka at {servers})"
            ) from error
        self._placed_once = True
        self._look_at_s = time.monotonic() + METADATA_REFRESH_S

    def poll(self, timeout_s: float, most: int = 500) -> list[InboundRecord]:
        """Return what is there, waiting up to `timeout_s` for the first record.

        Problems that may pass are logged once and kept in `problem`.

        Raises:
            KafkaFailed: not open, or the client is broken for good: `close` and `open`.
        """
        if self._client is None:
            raise KafkaFailed("this reader is not open: call open() first")
        self._look_for_new(self._client)
        records: list[InboundRecord] = []
        try:
            # One by one: consume() would wait the whole time for a full batch.
            while (message := self._client.poll(timeout_s)) is not None:
                if self._keep(message):
                    records.append(inbound(message))
                if len(records) == most:
                    break
                timeout_s = 0
        except KafkaException as error:
            raise KafkaFailed(f"cannot read: {description_of(error)}") from error
        return records

    def close(self) -> None:
        """End the client; the place is kept for another `open`. Idempotent."""
        client, self._client = self._client, None
        self._placed.clear()
        self._ended.clear()
        if client is not None:
            client.close()

    def _connect(self) -> confluent_kafka.Consumer:
        try:
            return confluent_kafka.Consumer(self._properties)
        except KafkaException as error:
            raise PropertiesRefused(
                f"the Kafka client refused: {description_of(error)}"
            ) from error

    def _keep(self, message: confluent_kafka.Message) -> bool:
        """Note how far a partition has been read; False where this is no record."""
        where = Partition(message.topic() or "", message.partition() or 0)
        if (error := message.error()) is not None:
            self._judge(where, error)
            return False
        self._next_offset[where] = (message.offset() or 0) + 1
        self._ended.discard(where)
        self.problem = ""
        return True

    def _judge(self, where: Partition, error: KafkaError) -> None:
        if error.fatal():
            raise KafkaFailed(f"the Kafka client failed for good: {error.str()}")
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  (its public name)
            self._ended.add(where)
            return
        self.problem = error.str()
        if self.problem not in self._warned:  # the same again says nothing new
            self._warned.add(self.problem)
            logger.warning("reading %s: %s", ", ".join(self._topics), self.problem)

    # -- which partitions there are, and where they start --------------------------

    def _look_for_new(self, client: confluent_kafka.Consumer) -> None:
        now_s = time.monotonic()
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + METADATA_REFRESH_S
        try:
            self._take(client, self._there(client, LOOK_S), LOOK_S)
        except KafkaException as error:
            logger.info("no look at the partitions now: %s", description_of(error))

    def _there(
        self, client: confluent_kafka.Consumer, timeout_s: float
    ) -> set[Partition]:
        found: set[Partition] = set()
        for name in self._topics:
            topic = client.list_topics(name, timeout=timeout_s).topics.get(name)
            if topic is not None and topic.error is None:
                found |= {Partition(name, number) for number in topic.partitions}
        return found

    def _take(
        self,
        client: confluent_kafka.Consumer,
        there: set[Partition],
        timeout_s: float,
    ) -> None:
        new = sorted(there - self._placed)
        if not new:
            return
        starts = self._starts(client, new, timeout_s)
        client.incremental_assign([TopicPartition(*each, starts[each]) for each in new])
        self._placed.update(new)
        self._next_offset |= starts

    def _starts(
        self,
        client: confluent_kafka.Consumer,
        new: Sequence[Partition],
        timeout_s: float,
    ) -> dict[Partition, int]:
        known = {
            each: self._next_offset[each] for each in new if each in self._next_offset
        }
        first = [each for each in new if each not in known]
        if self._placed_once:
            # Made after we began: all that it holds is new.
            return known | dict.fromkeys(first, OFFSET_BEGINNING)
        if self._since_ms == EVERYTHING_MS:
            return known | dict.fromkeys(first, OFFSET_BEGINNING)
        if self._since_ms is None:
            ends = bounds(client, first)
            return known | {each: held.end for each, held in ends.items()}
        return known | offsets_since(client, first, self._since_ms, timeout_s)
