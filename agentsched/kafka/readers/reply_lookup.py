"""Which records have a reply or a dead letter: read from Kafka, after a loss of Redis.

It belongs to no group and keeps no position. It looks at headers only, from a time on
up to the end that the topics have when it begins.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import confluent_kafka
from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    KafkaException,
    TopicPartition,
)

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.errors import KafkaFailed, description_of
from agentsched.kafka.message import text_headers
from agentsched.kafka.offsets import ONE_ANSWER_S, Bounds, bounds
from agentsched.kafka.readers.topic_scan import (
    bounded_properties,
    partitions_of,
    place_of,
    read_spans,
)
from agentsched.wire.records import Partition
from agentsched.wire.source_record import SourceRecord, settled_by

BROKERS_APART_MS = 60_000
"""How far the clocks of two brokers may be apart."""
WRITERS_APART_MS = 86_400_000
"""The same for those who write into a topic that has not LogAppendTime."""


def find_answers(
    settings: KafkaSettings,
    topics: Iterable[str],
    wanted: Mapping[str, range],
    since_ms: int,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, set[int]]:
    """Return which of the wanted offsets have an answer; blocks, maybe for minutes.

    Args:
        settings: where Kafka is.
        topics: into which replies and dead letters are written; missing ones hold none.
        wanted: the offsets to look for, by source.
        since_ms: no answer was written before this time of the brokers.
        stopped: whether to give up.

    Raises:
        KafkaFailed: Kafka did not answer in time, or it was stopped.
    """
    consumer = confluent_kafka.Consumer(bounded_properties(settings))
    sources = {
        Partition(origin.topic, origin.partition): origin.source
        for origin in (SourceRecord.of(source, 0) for source in wanted)
    }
    answered: dict[str, set[int]] = {}
    try:
        held = bounds(consumer, partitions_of(consumer, topics))
        places = _Places(consumer, held, stopped)
        for message in places.read(places.since(since_ms)):
            found = settled_by(text_headers(message) or {})
            if found is None:
                continue
            source = sources.get(Partition(found.topic, found.partition))
            # Another id: the topic had this name before, and that was another record.
            if (
                source
                and found.offset in wanted[source]
                and (found.source == source or not found.topic_id)
            ):
                answered.setdefault(source, set()).add(found.offset)
    except KafkaException as error:
        raise KafkaFailed(f"answers cannot be read: {description_of(error)}") from error
    finally:
        consumer.close()
    return answered


class _Places:
    """What is read of some partitions, up to the ends that they had at first."""

    def __init__(
        self,
        consumer: confluent_kafka.Consumer,
        held: Mapping[Partition, Bounds],
        stopped: Callable[[], bool],
    ) -> None:
        self._consumer = consumer
        self._held = {each: it for each, it in held.items() if it.low < it.end}
        self._stopped = stopped

    def since(self, since_ms: int) -> dict[Partition, int]:
        """Return, per partition, an offset before which all is older."""
        starts = {each: it.low for each, it in self._held.items()}
        lasts = {each: it.end - 1 for each, it in self._held.items()}
        # The last record tells whose clock it is; where it is no record of ours (the
        # end of a transaction, say), all of the partition is read.
        for last in self.read(lasts):
            kind, last_ms = last.timestamp()
            brokers = kind == TIMESTAMP_LOG_APPEND_TIME
            from_ms = since_ms - (BROKERS_APART_MS if brokers else WRITERS_APART_MS)
            place = place_of(last)
            if brokers and last_ms < from_ms:
                starts[place] = self._held[place].end
            elif from_ms > 0:
                starts[place] = self._offset_of(place, from_ms)
        return starts

    def _offset_of(self, place: Partition, from_ms: int) -> int:
        (answer,) = self._consumer.offsets_for_times(
            [TopicPartition(*place, from_ms)], timeout=ONE_ANSWER_S
        )
        if answer.error:
            raise KafkaException(answer.error)
        low, end = self._held[place]
        # The embedded broker keeps no times and answers with the end.
        return answer.offset if low <= answer.offset < end else low

    def read(
        self, starts: Mapping[Partition, int]
    ) -> Iterator[confluent_kafka.Message]:
        """Yield the records of all partitions from their starts to their ends."""
        spans = {
            each: Bounds(start, self._held[each].end) for each, start in starts.items()
        }
        return read_spans(self._consumer, spans, self._stopped)
