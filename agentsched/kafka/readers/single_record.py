"""Read one record back at its coordinates: no group, no commit, no position kept."""

import time

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.errors import KafkaFailed, code_of, description_of
from agentsched.kafka.librdkafka import reader_properties
from agentsched.kafka.message import inbound
from agentsched.wire.records import InboundRecord, RecordAt

_GONE = frozenset(
    {
        KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001  (its public name)
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    }
)


def read_record(
    settings: KafkaSettings, at: RecordAt, timeout_s: float = 5.0
) -> InboundRecord | None:
    """Return the record at `at`, or None when Kafka no longer keeps it.

    Blocks for up to `timeout_s`; makes a client of its own, so it is for rare use.

    Raises:
        KafkaFailed: Kafka did not answer in time.
    """
    deadline = time.monotonic() + timeout_s
    consumer = confluent_kafka.Consumer(reader_properties(settings))
    try:
        where = TopicPartition(at.topic, at.partition)
        low, end = consumer.get_watermark_offsets(where, timeout=timeout_s)
        if not low <= at.offset < end:
            return None
        consumer.assign([TopicPartition(at.topic, at.partition, at.offset)])
        return _first_from(consumer, at, deadline)
    except KafkaException as error:
        if code_of(error) in _GONE:
            return None
        raise KafkaFailed(
            f"could not read back {_named(at)}: {description_of(error)}"
        ) from error
    finally:
        consumer.close()


def _first_from(
    consumer: confluent_kafka.Consumer, at: RecordAt, deadline: float
) -> InboundRecord | None:
    while (left_s := deadline - time.monotonic()) > 0:
        message = consumer.poll(left_s)
        if message is None:
            continue
        if error := message.error():
            if error.code() in _GONE:
                return None
            continue  # Kafka may be back before the time is over
        # Compaction and aborted transactions leave gaps: the next one is another.
        return inbound(message) if message.offset() == at.offset else None
    raise KafkaFailed(f"could not read back {_named(at)}: no answer in time")


def _named(at: RecordAt) -> str:
    return f"{at.topic}[{at.partition}]@{at.offset}"
