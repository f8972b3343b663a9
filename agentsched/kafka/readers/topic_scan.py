"""Reads what partitions hold now, once, up to a fixed end: no group, no commit."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.errors import KafkaFailed, description_of
from agentsched.kafka.librdkafka import Properties, reader_properties
from agentsched.kafka.message import kept
from agentsched.kafka.offsets import ONE_ANSWER_S, Bounds, bounds, offsets_since
from agentsched.wire.records import InboundRecord, Partition

SILENCE_S = 15.0
"""After so long without a record Kafka counts as not reachable."""
BATCH = 1_000
POLL_S = 0.2


def bounded_properties(settings: KafkaSettings) -> Properties:
    """Return the keys of a consumer for `read_spans`."""
    # Nobody writes answers in transactions: one that somebody leaves open there must
    # not hide those behind it.
    return reader_properties(settings) | {
        "enable.partition.eof": True,
        "isolation.level": "read_uncommitted",
    }


def partitions_of(
    consumer: confluent_kafka.Consumer, topics: Iterable[str]
) -> list[Partition]:
    """Return the partitions of the topics that are there. Blocks for a round trip."""
    there = consumer.list_topics(timeout=ONE_ANSWER_S).topics
    return [
        Partition(topic, number)
        for topic in dict.fromkeys(topics)
        if topic in there
        for number in there[topic].partitions
    ]


def place_of(message: confluent_kafka.Message) -> Partition:
    """Return the partition that a record stands in."""
    return Partition(message.topic() or "", message.partition() or 0)


def read_spans(
    consumer: confluent_kafka.Consumer,
    spans: Mapping[Partition, Bounds],
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[confluent_kafka.Message]:
    """Yield the records of all partitions from `low` up to `end`; blocks.

    Raises:
        KafkaFailed: Kafka was silent for 15 s, or it was stopped.
    """
    left = {each for each, span in spans.items() if span.low < span.end}
    consumer.assign([TopicPartition(*each, spans[each].low) for each in left])
    heard_s = time.monotonic()
    while left:
        if stopped():
            raise KafkaFailed("records are no longer read: this process ends")
        if time.monotonic() - heard_s > SILENCE_S:
            raise KafkaFailed("records cannot be read: Kafka is silent")
        for message in consumer.consume(BATCH, POLL_S):
            if message.error() and not _is_end(message):
                continue  # it passes, or the silence ends this
            heard_s = time.monotonic()
            place, offset = place_of(message), message.offset() or 0
            span = spans.get(place)
            if span is None:
                continue  # of an assignment before this one
            if not message.error() and span.low <= offset < span.end:
                yield message
                heard_s = time.monotonic()  # the caller may have taken its time
            if message.error() or offset >= span.end - 1:
                left.discard(place)


def _is_end(message: confluent_kafka.Message) -> bool:
    error = message.error()
    return bool(error and error.code() == KafkaError._PARTITION_EOF)  # noqa: SLF001  (its public name)


class TopicScan:
    """What some topics hold at the time of `open`; for one thread.

    Records come with the time that Kafka keeps, whoever's clock that is.
    """

    def __init__(self, settings: KafkaSettings, topics: Iterable[str]) -> None:
        """Keep what to read; nothing is opened before `open`."""
        self._settings = settings
        self._topics = tuple(topics)
        self._client: confluent_kafka.Consumer | None = None
        self.held: dict[Partition, Bounds] = {}
        """What each partition of the topics that are there held at `open`."""

    def open(self) -> None:
        """Ask Kafka what is there; blocks for some round trips.

        Raises:
            KafkaFailed: Kafka cannot be reached.
        """
        try:
            client = confluent_kafka.Consumer(bounded_properties(self._settings))
            self._client = client
            self.held = bounds(client, partitions_of(client, self._topics))
        except KafkaException as error:
            raise self._failed(error) from error

    def since(self, since_ms: int | None) -> dict[Partition, Bounds]:
        """Return the spans of what was appended at a time or later; None: all.

        As far as the broker can tell: the embedded one cannot, there it is all.

        Raises:
            KafkaFailed: Kafka did not answer.
        """
        if since_ms is None:
            return dict(self.held)
        try:
            starts = offsets_since(
                self._opened(), list(self.held), since_ms, ONE_ANSWER_S
            )
        except KafkaException as error:
            raise self._failed(error) from error
        return {
            each: Bounds(max(span.low, starts[each]), span.end)
            for each, span in self.held.items()
        }

    def read(self, spans: Mapping[Partition, Bounds]) -> Iterator[InboundRecord]:
        """Yield the records of spans, in the order of each partition; blocks.

        Raises:
            KafkaFailed: Kafka was silent for 15 s.
        """
        try:
            for message in read_spans(self._opened(), spans):
                yield kept(message)
        except KafkaException as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """End the client; idempotent."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _opened(self) -> confluent_kafka.Consumer:
        if self._client is None:
            raise KafkaFailed("this scan is not open: call open() first")
        return self._client

    def _failed(self, error: KafkaException) -> KafkaFailed:
        servers = ", ".join(self._settings.bootstrap_servers)
        return KafkaFailed(
            f"cannot read {', '.join(self._topics)}: {description_of(error)} (Kafka at {servers})"
        )
