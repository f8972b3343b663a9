"""Creating topics, and reading one record back, on both brokers."""

import socket

import confluent_kafka
import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME
from confluent_kafka.admin import AdminClient

from agentsched.config.settings import KafkaSettings
from agentsched.embedded.kafka import EmbeddedKafka
from agentsched.kafka.admin.topics import TopicsReport, ensure_topics
from agentsched.kafka.errors import KafkaFailed
from agentsched.kafka.producer import Producer
from agentsched.kafka.readers.single_record import read_record
from agentsched.wire.records import RecordAt
from tests.support.waiting import eventually


@pytest.fixture
def settings(broker):
    return KafkaSettings(bootstrap_servers=(broker.bootstrap,))


@pytest.fixture
def real_settings(kafka):
    return KafkaSettings(bootstrap_servers=(kafka.bootstrap,))


@pytest.fixture
def nowhere():
    """An address that refuses every connection."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        yield KafkaSettings(
            bootstrap_servers=(f"127.0.0.1:{taken.getsockname()[1]}",),
            properties={"log_level": 0},
        )


@pytest.mark.kafka
def test_missing_topics_are_created_once(real_settings, topic_prefix):
    names = [f"{topic_prefix}a", f"{topic_prefix}b"]
    first = ensure_topics(real_settings, names, 2, 1)
    admin = AdminClient({"bootstrap.servers": real_settings.bootstrap_servers[0]})
    eventually(lambda: set(names) <= set(admin.list_topics(timeout=5).topics))
    assert first == TopicsReport(tuple(names))
    assert ensure_topics(real_settings, names, 2, 1) == TopicsReport(())


@pytest.mark.kafka
def test_a_created_topic_stamps_records_with_the_brokers_time(
    real_settings, topic_prefix
):
    name = f"{topic_prefix}stamped"
    ensure_topics(real_settings, [name])
    with Producer(real_settings.bootstrap_servers) as producer:
        at = producer.produce("{}", name).result(10)
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": real_settings.bootstrap_servers[0],
            "group.id": topic_prefix,
        }
    )
    consumer.assign([confluent_kafka.TopicPartition(name, 0, at.offset)])
    message = eventually(lambda: consumer.poll(1.0))
    consumer.close()
    assert message.timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME


@pytest.mark.kafka
def test_a_created_topic_takes_a_value_of_the_largest_size_with_headers(
    real_settings, topic_prefix
):
    name = f"{topic_prefix}large"
    ensure_topics(real_settings, [name])
    with Producer(real_settings.bootstrap_servers) as producer:
        value = b"x" * 1_048_576
        at = producer.produce(value, name, {"correlation_id": "c" * 512}).result(20)
    record = read_record(real_settings, at, 20)
    assert record is not None
    assert record.value == value


@pytest.mark.kafka
def test_a_topic_that_kafka_refuses_is_named(real_settings, topic_prefix):
    with pytest.raises(KafkaFailed, match=f"{topic_prefix}many"):
        ensure_topics(real_settings, [f"{topic_prefix}many"], 1, 99)


def test_topics_that_the_embedded_broker_cannot_create_are_listed_as_missing(tmp_path):
    with EmbeddedKafka({"there": 1}, tmp_path / "kafka.log") as mock:
        settings = KafkaSettings(bootstrap_servers=(mock.bootstrap,))
        report = ensure_topics(settings, ["there", "new"])
    assert report == TopicsReport((), ("new",))


def test_an_unreachable_kafka_is_named_with_what_to_do(nowhere, monkeypatch):
    monkeypatch.setattr("agentsched.kafka.admin.topics.UNREACHABLE_S", 1.0)
    with pytest.raises(KafkaFailed, match=r"no Kafka at 127.*start it, or set"):
        ensure_topics(nowhere, ["a"])


def test_a_record_is_read_back_at_its_coordinates(broker, settings, topic_prefix):
    topic = f"{topic_prefix}results"
    broker.create_topics({topic: 1})
    with Producer(broker.bootstrap) as producer:
        for number in range(3):
            producer.produce(f"{number}", topic, {"n": f"{number}"}).result(10)
    record = read_record(settings, RecordAt(topic, 0, 1), 10)
    assert record is not None
    assert (record.value, record.headers, record.offset) == (b"1", {"n": "1"}, 1)


@pytest.mark.parametrize("offset", [-1, 5])
def test_coordinates_that_hold_no_record_give_none(
    broker, settings, topic_prefix, offset
):
    topic = f"{topic_prefix}results"
    broker.create_topics({topic: 1})
    with Producer(broker.bootstrap) as producer:
        producer.produce("{}", topic).result(10)
    assert read_record(settings, RecordAt(topic, 0, offset), 5) is None


def test_a_topic_that_is_gone_gives_none(settings, topic_prefix):
    at = RecordAt(f"{topic_prefix}never", 0, 0)
    assert read_record(settings, at, 5) is None


@pytest.mark.kafka
def test_a_record_that_was_deleted_gives_none(kafka, real_settings, topic_prefix):
    topic = f"{topic_prefix}results"
    kafka.create_topics({topic: 1})
    with Producer(kafka.bootstrap) as producer:
        for _ in range(3):
            producer.produce("{}", topic).result(10)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    where = confluent_kafka.TopicPartition(topic, 0, 2)
    for future in admin.delete_records([where]).values():
        future.result(10)
    assert read_record(real_settings, RecordAt(topic, 0, 1), 5) is None


def test_reading_back_from_an_unreachable_kafka_says_so(nowhere):
    with pytest.raises(KafkaFailed, match=r"could not read back a\[0\]@0"):
        read_record(nowhere, RecordAt("a", 0, 0), 0.5)
