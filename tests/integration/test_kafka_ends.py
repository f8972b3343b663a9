"""Asking whether Kafka answers, and where partitions end, on both brokers."""

import pytest

from agentsched.config.settings import KafkaSettings
from agentsched.embedded.kafka import EmbeddedKafka
from agentsched.kafka.admin.end_offsets import EndOffsets
from agentsched.kafka.errors import KafkaFailed
from agentsched.kafka.producer import Producer
from agentsched.wire.records import Partition

QUIET = {"log_level": 0}


@pytest.fixture
def topic(broker, topic_prefix):
    name = f"{topic_prefix}high_priority"
    broker.create_topics({name: 2})
    return name


def settings(bootstrap, topic):
    return KafkaSettings(
        bootstrap_servers=(bootstrap,), input_topics=(topic,), properties=QUIET
    )


@pytest.fixture
def ends(broker, topic):
    ends = EndOffsets(settings(broker.bootstrap, topic))
    yield ends
    ends.close()
    ends.close()


def test_the_end_is_the_offset_of_the_next_record(broker, topic, ends):
    first, second = Partition(topic, 0), Partition(topic, 1)
    assert ends.ask([first, second], 10) == {first: 0, second: 0}
    with Producer(broker.bootstrap) as producer:
        sent = [producer.produce(b"x", topic, key=str(n)) for n in range(20)]
        places = [future.result(10) for future in sent]
    count = sum(at.partition == 0 for at in places)
    assert ends.ask([first, second], 10) == {first: count, second: 20 - count}


def test_without_partitions_it_only_reaches_kafka(ends):
    assert ends.ask([], 10) == {}


def test_a_producer_reaches_kafka_before_its_first_record(broker, topic):
    with Producer(broker.bootstrap) as producer:
        producer.reach(topic, 10)


def test_a_broker_that_has_gone_is_said_in_time(tmp_path):
    mock = EmbeddedKafka({"t": 1}, tmp_path / "kafka.log")
    ends = EndOffsets(settings(mock.bootstrap, "t"))
    producer = Producer(mock.bootstrap, properties=QUIET)
    try:
        assert ends.ask([Partition("t", 0)], 10) == {Partition("t", 0): 0}
        producer.reach("t", 10)
        mock.stop()
        for ask in (
            lambda: ends.ask([Partition("t", 0)], 1),
            lambda: ends.ask([], 1),
            lambda: producer.reach("t", 1),
        ):
            with pytest.raises(KafkaFailed, match="Kafka does not answer"):
                ask()
    finally:
        mock.stop()
        ends.close()
        producer.close(0)
    with pytest.raises(KafkaFailed):
        producer.reach("t", 1)
