"""RequestSource on real Kafka: records that were deleted, aborted, compacted, made again."""

from contextlib import contextmanager

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.producer import Producer
from agentsched.wire.commit_state import CommitState, encode_commit_state
from agentsched.wire.epoch import EpochCounter
from agentsched.wire.records import Mark, Partition
from tests.support.member import Member, until_assigned
from tests.support.waiting import eventually

pytestmark = pytest.mark.kafka


@pytest.fixture
def topic(topic_prefix):
    return f"{topic_prefix}high_priority"


@pytest.fixture
def settings(kafka, topic_prefix):
    return KafkaSettings(bootstrap_servers=(kafka.bootstrap,), group_id=topic_prefix)


@pytest.fixture
def member(settings, topic):
    """Joins one member after the other, each of which leaves at the end of a block."""

    @contextmanager
    def joined():
        one = Member(settings)
        one.source.subscribe([topic])
        try:
            yield one
        finally:
            one.source.close()

    return joined


@pytest.fixture
def produce(kafka, topic):
    def put(count):
        with Producer(kafka.bootstrap) as producer:
            return [producer.produce("{}", topic).result(10) for _ in range(count)]

    return put


def delete_before(kafka, topic, offset):
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    where = confluent_kafka.TopicPartition(topic, 0, offset)
    for future in admin.delete_records([where]).values():
        future.result(10)


def test_gaps_of_aborted_transactions_are_jumped_over(kafka, topic, produce, member):
    kafka.create_topics({topic: 1})
    client = confluent_kafka.Producer(
        {"bootstrap.servers": kafka.bootstrap, "transactional.id": topic}
    )
    client.init_transactions(30)
    for end in (client.commit_transaction, client.abort_transaction):
        client.begin_transaction()
        client.produce(topic, "x")
        client.flush(10)
        end(30)
    (last,) = produce(1)
    with member() as reader:
        reader.until_read(2)
    # 0 and its commit marker, the aborted 2 and its marker, then the last one.
    assert reader.offsets() == [0, last.offset] == [0, 4]


def test_records_that_kafka_deleted_show_as_a_low_above_the_committed_offset(
    kafka, topic, produce, member
):
    kafka.create_topics({topic: 1})
    produce(4)
    with member() as first:
        first.until_read(4)
        first.commit_at_revoke = {Partition(topic, 0): Mark(1)}
    delete_before(kafka, topic, 3)
    with member() as second:
        second.until_read(1)
    (assigned,) = second.assigned
    assert (assigned.committed, assigned.low, second.offsets()) == (1, 3, [3])


def test_records_that_are_deleted_before_they_are_read_are_told_and_passed(
    kafka, topic, produce, member
):
    kafka.create_topics({topic: 1})
    where = Partition(topic, 0)
    with member() as reader:
        until_assigned(reader)
        reader.source.pause([where])
        produce(5)
        delete_before(kafka, topic, 3)
        reader.source.resume([where])
        reader.until_read(2)
    assert (reader.deleted, reader.offsets()) == ([(where, 3)], [3, 4])


def test_a_topic_that_was_made_again_is_read_from_its_beginning(
    kafka, topic, settings, produce, member
):
    kafka.create_topics({topic: 1})
    produce(4)
    with member() as first:
        first.until_read(4)
        (mine,) = first.assigned
        note = CommitState(EpochCounter("0000000100", 7), mine.topic_id)
        mark = Mark(3, encode_commit_state(note, 3))
        first.commit_at_revoke = {Partition(topic, 0): mark}
    kafka.delete_topic(topic)
    kafka.create_topics({topic: 1})
    produce(5)
    # Kafka may have dropped the offset with the topic: somebody restores it.
    kafka.commit(settings.group_id, topic, mark)
    with member() as second:
        second.until_read(5)
    assert second.offsets() == [0, 1, 2, 3, 4]
    assert second.assigned[0].inherited_state is None


def test_compaction_leaves_gaps_that_are_passed(kafka, topic, member):
    kafka.create_topics(
        {topic: 1},
        {
            "cleanup.policy": "compact",
            "segment.ms": "50",
            "min.cleanable.dirty.ratio": "0.001",
            "max.compaction.lag.ms": "50",
        },
    )
    client = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap})

    def kept():
        """What a new reader gets; each try writes on, so that a segment is closed."""
        client.produce(topic, "x", key="again")
        assert client.flush(10) == 0
        return kafka.offsets(topic)

    for _ in range(6):
        kept()
    eventually(
        lambda: len(kept()) < kafka.end(topic), timeout_s=50, message="compaction"
    )
    with member() as reader:
        there = kafka.offsets(topic)
        reader.until_read(len(there))
    assert reader.offsets()[: len(there)] == there
    assert there != list(range(len(there)))
