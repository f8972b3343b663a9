"""Deletes the oldest records of partitions; the only place that deletes records."""

from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.errors import KafkaFailed, code_of, description_of
from agentsched.kafka.librdkafka import admin_properties, log
from agentsched.wire.records import Partition

ANSWER_S = 10.0


def delete_before(settings: KafkaSettings, offsets: Mapping[Partition, int]) -> None:
    """Delete what stands before an offset of each partition; blocks for up to 10 s.

    Kafka can delete the oldest records of a partition only, for good and at once for
    all readers. May be repeated.

    Raises:
        KafkaFailed: Kafka refused, did not answer, or deletes nothing on request (the
            embedded one).
    """
    admin = AdminClient(admin_properties(settings), logger=log)
    wanted = [TopicPartition(*each, offset) for each, offset in offsets.items()]
    answers = admin.delete_records(wanted, request_timeout=ANSWER_S)
    for where, future in answers.items():
        try:
            future.result()
        except KafkaException as error:
            if code_of(error) == KafkaError._UNSUPPORTED_FEATURE:  # noqa: SLF001  (its public name)
                raise KafkaFailed(
                    "this broker deletes no records on request: is it the embedded one?"
                    " That forgets everything when it ends"
                ) from error
            raise KafkaFailed(
                f"nothing deleted in {where.topic}[{where.partition}]: {description_of(error)}"
            ) from error
