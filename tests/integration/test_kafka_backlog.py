"""How deep the input topics are, asked of both brokers; nobody joins the group."""

from contextlib import closing

import pytest

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.admin.backlog import Backlog
from agentsched.kafka.errors import KafkaFailed
from agentsched.kafka.producer import Producer
from agentsched.wire.records import Depth, Mark, Partition
from tests.support.member import Member
from tests.support.ports import free_ports
from tests.support.waiting import eventually


@pytest.fixture
def settings(broker, topic_prefix):
    topic = f"{topic_prefix}in"
    broker.create_topics({topic: 2})
    return KafkaSettings(
        bootstrap_servers=(broker.bootstrap,),
        input_topics=(topic, f"{topic_prefix}missing"),
        group_id=f"{topic_prefix}bridge",
        group_protocol="classic" if broker.kind == "real" else "consumer",
        fetch_wait_ms=10,
    )


def test_what_is_committed_and_where_partitions_end_is_told(settings):
    topic = settings.input_topics[0]
    with closing(Backlog(settings)) as backlog:
        assert backlog.ask() == {
            Partition(topic, number): Depth(None, 0, 0) for number in (0, 1)
        }
        with Producer(settings.bootstrap_servers) as producer:
            at = [producer.produce("{}", topic).result(10) for _ in range(5)]
        ends = [sum(one.partition == number for one in at) for number in (0, 1)]
        depths = backlog.ask()
        assert [depths[Partition(topic, n)].end for n in (0, 1)] == ends


def test_what_a_bridge_commits_is_seen_and_it_keeps_its_partitions(settings):
    topic = settings.input_topics[0]
    with Producer(settings.bootstrap_servers) as producer:
        at = producer.produce("{}", topic).result(10)
    place = Partition(topic, at.partition)
    member = Member(settings.model_copy(update={"input_topics": (topic,)}))
    source = member.source
    source.subscribe([topic])
    with closing(source), closing(Backlog(settings)) as backlog:
        eventually(member.poll, timeout_s=30)
        source.commit({place: Mark(1)})
        eventually(lambda: member.poll() and member.committed, timeout_s=20)
        depth = backlog.ask()[place]
        assert (depth.committed, depth.start, depth.end) == (1, 1, 1)
        source.poll(1, 0.1)
        assert len(source.owned) == 2


def test_what_kafka_no_longer_keeps_is_not_where_a_bridge_begins():
    assert Depth(committed=3, low=7, end=9).start == 7
    assert Depth(committed=None, low=7, end=9).start == 7


def test_a_kafka_that_does_not_answer_is_an_error_that_says_what_to_check():
    nowhere = KafkaSettings(bootstrap_servers=(f"127.0.0.1:{free_ports(1)[0]}",))
    with closing(Backlog(nowhere)) as backlog, pytest.raises(KafkaFailed) as error:
        backlog.ask()
    assert "kafka.bootstrap_servers" in str(error.value)
