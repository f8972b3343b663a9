"""RequestSource on both brokers: who owns what, where reading starts, what is committed."""

import confluent_kafka
import pytest

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.group.commit_states import commit_states
from agentsched.wire.commit_state import (
    MAX_CHARACTERS,
    CommitState,
    encode_commit_state,
)
from agentsched.wire.epoch import EpochCounter
from agentsched.wire.records import Mark, Partition
from tests.chaos.commits import commits_of
from tests.support.member import Member, until_assigned
from tests.support.waiting import eventually


@pytest.fixture
def topic(topic_prefix):
    return f"{topic_prefix}high_priority"


@pytest.fixture
def settings(broker, topic_prefix):
    protocol = "consumer" if broker.kind == "embedded" else "classic"
    return KafkaSettings(
        bootstrap_servers=(broker.bootstrap,),
        group_id=f"{topic_prefix}bridge",
        group_protocol=protocol,
        fetch_wait_ms=10,
        session_timeout_s=6,
    )


@pytest.fixture
def join(settings, topic):
    members = []

    def join_one():
        member = Member(settings)
        member.source.subscribe([topic])
        members.append(member)
        return member

    yield join_one
    for member in members:
        member.source.close()


@pytest.fixture
def produce(broker):
    """Put n records on one partition with a plain client."""
    client = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap})

    def put(topic, count, partition=0, headers=None):
        for number in range(count):
            client.produce(topic, f"{number}", partition=partition, headers=headers)
        assert client.flush(10) == 0

    return put


def committed(settings, topic, partition=0):
    reader = confluent_kafka.Consumer(
        {
            "bootstrap.servers": ",".join(settings.bootstrap_servers),
            "group.id": settings.group_id,
        }
    )
    try:
        (answer,) = reader.committed(
            [confluent_kafka.TopicPartition(topic, partition)], timeout=10
        )
        return answer.offset
    finally:
        reader.close()


def test_a_member_has_joined_once_the_group_gave_it_its_share(broker, topic, join):
    broker.create_topics({topic: 1})
    first = join()
    # A KIP-848 group (here: the embedded broker's) does not say it.
    assert first.source.joined is (broker.kind == "embedded")
    until_assigned(first)
    assert first.source.joined
    second = join()  # nothing is left for it, and it is a member all the same

    def joined():
        first.poll()
        second.poll()
        return second.source.joined

    eventually(joined, timeout_s=30, message="the second member did not join")
    assert len(first.source.owned) + len(second.source.owned) == 1
    second.source.close()
    assert not second.source.joined


def test_a_new_group_reads_all_that_kafka_keeps(broker, join, produce, topic):
    broker.create_topics({topic: 1})
    produce(topic, 3)
    member = join()
    member.until_read(3)
    assert member.offsets() == [0, 1, 2]


def test_an_assignment_says_what_is_committed_and_what_is_kept(
    broker, join, produce, topic
):
    broker.create_topics({topic: 1})
    produce(topic, 3)
    member = join()
    until_assigned(member)
    (first,) = member.assigned
    assert (first.partition, first.committed, first.low, first.end) == (
        Partition(topic, 0),
        None,
        0,
        3,
    )


def test_a_topic_has_an_id_that_every_member_sees_alike(broker, join, topic):
    broker.create_topics({topic: 2})
    one, other = join(), join()
    until_assigned(one, other)
    ids = {each.topic_id for each in [*one.assigned, *other.assigned]}
    assert len(ids) == 1
    assert ids != {""}


def test_headers_are_text_and_the_time_is_the_brokers(broker, join, produce, topic):
    broker.create_topics({topic: 1})
    produce(topic, 1, headers={"correlation_id": "c", "odd": b"\xff", "none": None})
    member = join()
    member.until_read(1)
    (record,) = member.records
    assert record.headers == {"correlation_id": "c", "odd": "�"}
    assert record.timestamp_ms > 1_700_000_000_000


def test_nothing_is_committed_unless_it_is_asked_for(
    broker, settings, join, produce, topic
):
    broker.create_topics({topic: 1})
    produce(topic, 3)
    member = join()
    member.until_read(3)
    member.source.close()
    assert committed(settings, topic) < 0


def test_a_commit_is_reported_when_kafka_has_it(broker, settings, join, topic, produce):
    broker.create_topics({topic: 1})
    produce(topic, 3)
    member = join()
    member.until_read(3)
    where = Partition(topic, 0)
    member.source.commit({where: Mark(2)})
    eventually(lambda: member.poll() and member.committed == {where: 2})
    assert committed(settings, topic) == 2


@pytest.mark.kafka
def test_while_kafka_does_not_answer_one_commit_is_on_its_way(kafka, topic_prefix):
    """Several would be sent again in any order when their coordinator is gone."""
    topic = f"{topic_prefix}high_priority"
    kafka.create_topics({topic: 1})
    group = f"{topic_prefix}bridge"
    member = Member(KafkaSettings(bootstrap_servers=(kafka.bootstrap,), group_id=group))
    member.source.subscribe([topic])
    until_assigned(member)
    where = Partition(topic, 0)
    with kafka.silent():
        for offset in range(1, 51):
            member.source.commit({where: Mark(offset)})
            member.poll(0.01)
    eventually(lambda: member.poll() is not None and member.committed == {where: 50})
    member.source.close()
    offsets = [each.offset for each in commits_of(kafka.bootstrap, group)]
    assert offsets == [1, 50]


def test_an_offset_of_a_partition_that_is_not_owned_is_not_committed(
    broker, settings, join, produce, topic
):
    broker.create_topics({topic: 2})
    produce(topic, 3, 0)
    produce(topic, 3, 1)
    one, other = join(), join()
    until_assigned(one, other)
    (mine,), (theirs,) = one.source.owned, other.source.owned
    one.source.commit({mine: Mark(1), theirs: Mark(3)})
    eventually(lambda: one.poll() is not None and one.committed)
    assert one.committed == {mine: 1}
    assert committed(settings, topic, theirs.partition) < 0


def test_two_members_share_the_partitions_and_read_each_record_once(
    broker, join, produce, topic
):
    broker.create_topics({topic: 4})
    one, other = join(), join()
    until_assigned(one, other, count=2)
    for partition in range(4):
        produce(topic, 5, partition)
    eventually(lambda: len(one.poll()) + len(other.poll()) >= 20, timeout_s=20)
    places = [(each.partition, each.offset) for each in one.records + other.records]
    assert sorted(places) == [(part, off) for part in range(4) for off in range(5)]


def test_who_stays_takes_over_where_the_one_that_left_committed(
    broker, join, produce, topic
):
    broker.create_topics({topic: 2})
    one, other = join(), join()
    until_assigned(one, other)
    (gone,) = one.source.owned
    produce(topic, 5, gone.partition)
    one.until_read(5)
    one.commit_at_revoke = {gone: Mark(3)}
    one.source.close()
    until_assigned(other, count=2)
    other.until_read(2)
    assert other.offsets(gone.partition) == [3, 4]


def test_the_offsets_of_a_revocation_are_committed_before_the_partition_goes(
    broker, settings, join, produce, topic
):
    broker.create_topics({topic: 2})
    one = join()
    until_assigned(one, count=2)
    for partition in range(2):
        produce(topic, 5, partition)
    one.until_read(10)
    one.commit_at_revoke = {Partition(topic, number): Mark(4) for number in range(2)}
    other = join()
    until_assigned(one, other)
    (moved,) = other.source.owned
    assert [each.committed for each in other.assigned] == [4]
    other.until_read(1)
    assert other.offsets(moved.partition) == [4]


def test_only_the_partitions_that_move_are_revoked(broker, join, topic):
    broker.create_topics({topic: 4})
    one = join()
    until_assigned(one, count=4)
    other = join()
    until_assigned(one, other, count=2)
    assert set(one.revoked) == other.source.owned


def test_a_paused_partition_gives_nothing_until_it_is_resumed(
    broker, join, produce, topic
):
    broker.create_topics({topic: 2})
    member = join()
    until_assigned(member, count=2)
    member.source.pause([Partition(topic, 0), Partition("not ours", 0)])
    produce(topic, 2, 0)
    produce(topic, 2, 1)
    member.until_read(2)
    assert (member.offsets(0), member.offsets(1)) == ([], [0, 1])
    member.source.resume([Partition(topic, 0)])
    member.until_read(4)
    assert member.offsets(0) == [0, 1]


def test_closing_revokes_everything_once(broker, join, topic):
    broker.create_topics({topic: 2})
    member = join()
    until_assigned(member, count=2)
    member.source.close()
    member.source.close()
    assert sorted(member.revoked) == [Partition(topic, 0), Partition(topic, 1)]
    assert (member.lost, member.source.owned) == ([], frozenset())


def test_a_poll_returns_no_more_than_was_asked_for(broker, join, produce, topic):
    broker.create_topics({topic: 1})
    produce(topic, 10)
    member = join()
    batches = []

    def all_read():
        batches.append(len(member.source.poll(4, 1.0)))
        return sum(batches) == 10

    eventually(all_read, timeout_s=20)
    assert max(batches) == 4


def test_what_is_noted_beside_an_offset_comes_to_the_next_owner(
    broker, settings, join, produce, topic
):
    broker.create_topics({topic: 1})
    produce(topic, 9)
    where = Partition(topic, 0)
    member = join()
    member.until_read(9)
    (mine,) = member.assigned
    note = CommitState(
        EpochCounter("0000000100", 7), mine.topic_id, done=(range(4, 6),)
    )
    member.source.commit({where: Mark(3, encode_commit_state(note, 3))})
    eventually(lambda: member.poll() and member.committed == {where: 3})
    assert commit_states(settings.model_copy(update={"input_topics": (topic,)})) == [
        note
    ]
    member.commit_at_revoke = {where: Mark(4, encode_commit_state(note, 4))}
    member.source.close()
    other = join()
    until_assigned(other)
    (theirs,) = other.assigned
    assert (theirs.start, theirs.note) == (4, note)


@pytest.mark.kafka
def test_a_note_that_is_too_long_for_the_broker_is_told(kafka, topic_prefix):
    topic = f"{topic_prefix}high_priority"
    kafka.create_topics({topic: 1})
    member = Member(
        KafkaSettings(bootstrap_servers=(kafka.bootstrap,), group_id=topic_prefix)
    )
    member.source.subscribe([topic])
    until_assigned(member)
    where = Partition(topic, 0)
    member.source.commit({where: Mark(0, "x" * 4_097)})
    eventually(lambda: member.poll() is not None and member.refused)
    member.source.commit({where: Mark(0, "x" * MAX_CHARACTERS)})
    eventually(lambda: member.poll() is not None and member.committed)
    member.source.close()
    assert (member.refused, member.committed) == ([where], {where: 0})
