"""Ask Kafka for offsets: committed ones, bounds, those at a time; decides nothing."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import confluent_kafka
from confluent_kafka import KafkaException, TopicPartition

from agentsched.kafka.errors import KafkaFailed, description_of
from agentsched.wire.records import Mark, Partition

ONE_ANSWER_S = 5.0
PAUSE_S = 0.2

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Bounds(NamedTuple):
    """What a partition holds: `low` (inclusive) to `end` (exclusive)."""

    low: int
    end: int


def partition_of(where: TopicPartition) -> Partition:
    """Return confluent-kafka's value as ours."""
    return Partition(where.topic, where.partition)


def committed_offsets(
    client: confluent_kafka.Consumer, partitions: Sequence[Partition]
) -> dict[Partition, int | None]:
    """Return the offsets of `committed_marks`."""
    marks = committed_marks(client, partitions)
    return {each: mark and mark.offset for each, mark in marks.items()}


def committed_marks(
    client: confluent_kafka.Consumer, partitions: Sequence[Partition]
) -> dict[Partition, Mark | None]:
    """Return what the group has committed; None where it has nothing.

    Blocks for one round trip.

    Raises:
        KafkaException: no answer, or an error for one of the partitions.
    """
    answers = client.committed(
        [TopicPartition(*each) for each in partitions], timeout=ONE_ANSWER_S
    )
    for answer in answers:
        if answer.error:
            raise KafkaException(answer.error)
    return {
        partition_of(answer): Mark(answer.offset, answer.metadata or "")
        if answer.offset >= 0
        else None
        for answer in answers
    }


def bounds(
    client: confluent_kafka.Consumer, partitions: Iterable[Partition]
) -> dict[Partition, Bounds]:
    """Return the bounds as they are now. Blocks for a round trip each.

    Raises:
        KafkaException: no answer, or an error for one of the partitions.
    """
    return {
        each: Bounds(
            *client.get_watermark_offsets(TopicPartition(*each), timeout=ONE_ANSWER_S)
        )
        for each in partitions
    }


def offsets_since(
    client: confluent_kafka.Consumer,
    partitions: Sequence[Partition],
    since_ms: int,
    timeout_s: float,
) -> dict[Partition, int]:
    """Return where each partition's records of `since_ms` or later begin.

    A broker without an index of times (the embedded one) answers "none" for every
    time, also for the oldest: there all is read. Blocks for some round trips.

    Raises:
        KafkaException: no answer, or an error for one of the partitions.
    """
    ends = bounds(client, partitions)
    found = _at_time(client, partitions, since_ms, timeout_s)
    without = [each for each in partitions if found[each] < 0]
    oldest = _at_time(client, without, 0, timeout_s)
    return {
        each: found[each]
        if found[each] >= 0
        else (ends[each].end if oldest[each] >= 0 else ends[each].low)
        for each in partitions
    }


def _at_time(
    client: confluent_kafka.Consumer,
    partitions: Sequence[Partition],
    at_ms: int,
    timeout_s: float,
) -> dict[Partition, int]:
    if not partitions:
        return {}
    answers = client.offsets_for_times(
        [TopicPartition(*each, at_ms) for each in partitions], timeout=timeout_s
    )
    for answer in answers:
        if answer.error:
            raise KafkaException(answer.error)
    return {Partition(each.topic, each.partition): each.offset for each in answers}


def insist(ask: Callable[[], T], what: str, timeout_s: float) -> T:
    """Ask again until Kafka answers.

    Raises:
        KafkaFailed: no answer within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if time.monotonic() > deadline:
                raise KafkaFailed(f"{what}: {description_of(error)}") from error
            logger.warning("%s: %s; asking again", what, description_of(error))
            time.sleep(PAUSE_S)
