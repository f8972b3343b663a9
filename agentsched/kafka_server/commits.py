"""Kafka's answers to commits: what is acknowledged, what is refused, and the log of it.

What is committed, and what follows from an answer, is decided elsewhere.
"""

import logging
from collections.abc import Sequence

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from agentsched.kafka_records import Partition
from agentsched.kafka_server.errors import said_by
from agentsched.kafka_server.positions import partition_of

log = logging.getLogger(__name__)


def acknowledged(
    error: KafkaError | None, offsets: Sequence[TopicPartition]
) -> dict[Partition, int]:
    """Return the offsets that Kafka took; a commit that failed is logged."""
    if error is not None:
        log.warning("a commit failed: %s", error.str())
        return {}
    return {
        partition_of(each): each.offset
        for each in offsets
        if not each.error and each.offset >= 0
    }


def with_too_long_metadata(
    error: KafkaError | None, offsets: Sequence[TopicPartition]
) -> list[Partition]:
    """Return where the broker takes only shorter metadata; that is logged."""
    refused = []
    for each in offsets:
        why = each.error or error
        if why is not None and why.code() == KafkaError.OFFSET_METADATA_TOO_LARGE:
            log.warning(
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
        log.warning("the commit at a revocation failed: %s", said_by(error))
        return
    for answer in answers:
        if answer.error:
            log.warning(
                "the commit of %s[%d] failed: %s",
                answer.topic,
                answer.partition,
                answer.error.str(),
            )
