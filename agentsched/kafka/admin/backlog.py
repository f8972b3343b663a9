"""How deep the input topics are: asks Kafka, joins no group, reads and commits nothing."""

import confluent_kafka
from confluent_kafka import KafkaException

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.errors import KafkaFailed, description_of
from agentsched.kafka.librdkafka import reader_properties
from agentsched.kafka.offsets import bounds, committed_offsets
from agentsched.wire.records import Depth, Partition

TIMEOUT_S = 2.0


class Backlog:
    """One client for who asks again and again; for one thread."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Opens nothing before the first question."""
        self._settings = settings
        self._client: confluent_kafka.Consumer | None = None

    def ask(self) -> dict[Partition, Depth]:
        """Return the depth of every partition of the input topics that there are.

        Blocks for a round trip each, and up to `TIMEOUT_S` where Kafka is away.

        Raises:
            KafkaFailed: Kafka did not answer.
        """
        try:
            client = self._open()
            client.poll(0)  # errors that nobody fetches would pile up
            partitions = self._partitions(client)
            committed = committed_offsets(client, partitions) if partitions else {}
            held = bounds(client, partitions)
        except KafkaException as error:
            raise KafkaFailed(
                f"Kafka did not answer ({description_of(error)}): check kafka.bootstrap_servers"
                " and that the brokers run"
            ) from error
        return {
            each: Depth(committed[each], held[each].low, held[each].end)
            for each in partitions
        }

    def close(self) -> None:
        """Close the client; idempotent."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _open(self) -> confluent_kafka.Consumer:
        if self._client is None:
            # The group's name is needed to ask for its offsets; without a subscription
            # nobody joins it. What is wrong is said once, by the error.
            ours = {"group.id": self._settings.group_id, "log_level": 0}
            self._client = confluent_kafka.Consumer(
                reader_properties(self._settings) | ours
            )
        return self._client

    def _partitions(self, client: confluent_kafka.Consumer) -> list[Partition]:
        found = client.list_topics(timeout=TIMEOUT_S).topics
        return [
            Partition(topic, number)
            for topic in self._settings.input_topics
            if topic in found
            for number in sorted(found[topic].partitions)
        ]
