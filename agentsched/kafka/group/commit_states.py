"""Read what the bridges have committed beside their offsets; joins no group."""

import confluent_kafka
from confluent_kafka import KafkaException

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.librdkafka import reader_properties
from agentsched.kafka.offsets import ONE_ANSWER_S, committed_marks, insist
from agentsched.wire.commit_state import CommitState, decode_commit_state
from agentsched.wire.records import Mark, Partition

LOOK_UP_S = 30.0


def commit_states(settings: KafkaSettings) -> list[CommitState]:
    """Return the commit states of all partitions of the input topics; blocks for up to 30 s.

    Raises:
        KafkaFailed: Kafka did not answer.
    """
    # The group's name is needed to ask for its offsets; without a subscription nobody
    # joins it.
    ours = {"group.id": settings.group_id}
    client = confluent_kafka.Consumer(reader_properties(settings) | ours)
    try:
        what = f"the commits of group {settings.group_id!r}"
        marks = insist(lambda: _ask(client, settings), what, LOOK_UP_S)
    finally:
        client.close()
    states = (
        decode_commit_state(mark.metadata, mark.offset)
        for mark in marks.values()
        if mark
    )
    return [state for state in states if state is not None]


def _ask(
    client: confluent_kafka.Consumer, settings: KafkaSettings
) -> dict[Partition, Mark | None]:
    there = client.list_topics(timeout=ONE_ANSWER_S).topics
    partitions = [
        Partition(topic, number)
        for topic in settings.input_topics
        if topic in there
        for number in there[topic].partitions
    ]
    try:
        return committed_marks(client, partitions) if partitions else {}
    except KafkaException:
        # A time-out, also where Kafka has refused: why it did waits to be fetched.
        said = client.poll(0)
        if said is not None and (why := said.error()):
            raise KafkaException(why) from None
        raise
