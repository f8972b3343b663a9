"""Commits on their way: one at a time, and what Kafka answers.

What is committed, and what follows from an answer, is decided elsewhere.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from agentsched.kafka.errors import description_of
from agentsched.kafka.offsets import partition_of
from agentsched.wire.records import Mark, Partition

ANSWER_S = 120.0
"""librdkafka sends what timed out unsent again without end: after so long the next commit
goes all the same. Should the older one arrive last, the bridge commits once more."""

logger = logging.getLogger(__name__)


class OneCommitAtATime:
    """The marks that wait until Kafka has answered their partition's last commit.

    librdkafka sends a commit again when its coordinator is gone, and a later one may be
    there first: with two on their way the group's offset goes back (seen with a killed
    coordinator: 50 of 9,608). A mark that waits is replaced by the next of its partition.
    """

    def __init__(self) -> None:
        """Nothing waits, and nothing is on its way."""
        self._waiting: dict[Partition, Mark] = {}
        self._sent_at: dict[Partition, float] = {}

    def add(self, marks: Mapping[Partition, Mark]) -> None:
        """These are to be committed."""
        self._waiting.update(marks)

    def drop(self, partitions: Iterable[Partition]) -> None:
        """These go: nothing more is committed for them, and no answer waited for."""
        for partition in partitions:
            self._waiting.pop(partition, None)
            self._sent_at.pop(partition, None)

    def take(self) -> dict[Partition, Mark]:
        """Return what is to be sent now, maybe nothing; it is on its way from then on.

        Each has to be a request of its own: librdkafka writes the error of one
        partition over the answers for the others.
        """
        now = time.monotonic()
        late = [each for each, at in self._sent_at.items() if now - at >= ANSWER_S]
        for partition in late:
            del self._sent_at[partition]
            logger.warning("a commit of %s[%d] was not answered", *partition)
        marks = {
            each: mark
            for each, mark in self._waiting.items()
            if each not in self._sent_at
        }
        for partition in marks:
            del self._waiting[partition]
            self._sent_at[partition] = now
        return marks

    def answered(self, partitions: Iterable[Partition]) -> None:
        """Kafka, or its client, has answered these, in whatever way."""
        for partition in partitions:
            self._sent_at.pop(partition, None)

    def on_their_way(self, partitions: Iterable[Partition]) -> bool:
        """Whether a commit of one of these is not answered yet."""
        return any(each in self._sent_at for each in partitions)


def acknowledged(
    error: KafkaError | None, offsets: Sequence[TopicPartition]
) -> dict[Partition, int]:
    """Return the offsets that Kafka took; a commit that failed is logged."""
    if error is not None:
        logger.warning("a commit failed: %s", error.str())
        return {}
    _log_refused(offsets)
    return {
        partition_of(each): each.offset
        for each in offsets
        if not each.error and each.offset >= 0
    }


def with_too_long_metadata(offsets: Sequence[TopicPartition]) -> list[Partition]:
    """Return where the broker takes only shorter metadata; that is logged."""
    refused = []
    for each in offsets:
        why = each.error
        if why and why.code() == KafkaError.OFFSET_METADATA_TOO_LARGE:
            logger.warning(
                "%s[%d]: this broker takes no metadata of %d characters beside an"
                " offset (offset.metadata.max.bytes): it gets less",
                *partition_of(each),
                len(each.metadata or ""),
            )
            refused.append(partition_of(each))
    return refused


def commit_and_wait(
    client: confluent_kafka.Consumer, offsets: list[TopicPartition]
) -> None:
    """Commit before the next owner asks; blocks for a round trip.

    A failure is logged: it only makes the next owner read more again.
    """
    try:
        answers = client.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        logger.warning("the commit at a revocation failed: %s", description_of(error))
        return
    _log_refused(answers)


def _log_refused(answers: Sequence[TopicPartition]) -> None:
    for answer in answers:
        if answer.error:
            logger.warning(
                "the commit of %s[%d] failed: %s",
                answer.topic,
                answer.partition,
                answer.error.str(),
            )
