"""Asks Kafka where partitions end, now and then; joins no group and reads no record."""

import contextlib
import time
from collections.abc import Collection

import confluent_kafka
from confluent_kafka import KafkaException, TopicPartition

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.certificate import certificate_fault
from agentsched.kafka.errors import KafkaFailed, description_of
from agentsched.kafka.librdkafka import reader_properties
from agentsched.wire.records import Partition


class EndOffsets:
    """One client for a process that asks again and again; for one thread."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Opens nothing before the first question."""
        self._settings = settings
        self._client: confluent_kafka.Consumer | None = None

    def ask(
        self, partitions: Collection[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Return the offset of the next record of each; none given: only reach Kafka.

        Blocks for a round trip each, `timeout_s` for all; up to 6 s longer where Kafka
        has TLS and does not answer, to find out why.

        Raises:
            KafkaFailed: Kafka did not answer.
        """
        deadline = time.monotonic() + timeout_s
        try:
            client = self._open()
            client.poll(0)  # errors that nobody fetches would pile up
            if not partitions:
                client.list_topics(self._settings.input_topics[0], timeout=timeout_s)
            return {
                each: self._end(client, each, deadline) for each in sorted(partitions)
            }
        except KafkaException as error:
            why = certificate_fault(
                reader_properties(self._settings)
            ) or description_of(error)
            raise KafkaFailed(f"Kafka does not answer: {why}") from error

    def close(self) -> None:
        """Close the client; idempotent."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(KafkaException):
                client.close()

    def _open(self) -> confluent_kafka.Consumer:
        if self._client is None:
            # The bridge's other clients log what is wrong; once is enough.
            self._client = confluent_kafka.Consumer(
                {**reader_properties(self._settings), "log_level": 0}
            )
        return self._client

    @staticmethod
    def _end(
        client: confluent_kafka.Consumer, partition: Partition, deadline: float
    ) -> int:
        left_s = max(0.001, deadline - time.monotonic())
        where = TopicPartition(*partition)
        return int(client.get_watermark_offsets(where, timeout=left_s)[1])
