"""Reading whole topics without a group, on both brokers."""

import socket
import time

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from agentsched.kafka.errors import KafkaFailed, PropertiesRefused
from agentsched.kafka.producer import Producer
from agentsched.kafka.readers import topic_tail
from agentsched.kafka.readers.topic_tail import EVERYTHING_MS, TopicTail
from tests.support.waiting import eventually


@pytest.fixture
def topic(topic_prefix):
    return f"{topic_prefix}results"


@pytest.fixture
def producer(broker):
    with Producer(broker.bootstrap) as producer:
        yield producer


@pytest.fixture
def look_at_once(monkeypatch):
    """New partitions are looked for at every poll."""
    monkeypatch.setattr(topic_tail, "METADATA_REFRESH_S", 0.0)


def reader_of(broker, *topics, **options):
    return TopicTail(broker.bootstrap, topics, fetch_wait_ms=10, **options)


def put(producer, topic, *values):
    for value in values:
        producer.produce(value, topic, key=value).result(20)


def read(reader, count):
    """Exactly so many values, whatever their order over partitions."""
    values = []

    def enough():
        values.extend(record.value.decode() for record in reader.poll(0.1))
        return len(values) >= count

    eventually(enough, timeout_s=20)
    return sorted(values)


def test_by_itself_it_reads_only_what_comes_after_it_opened(broker, topic, producer):
    broker.create_topics({topic: 3})
    put(producer, topic, "old-1", "old-2", "old-3", "old-4")
    reader = reader_of(broker, topic)
    reader.open()
    put(producer, topic, "new-1", "new-2")
    assert read(reader, 2) == ["new-1", "new-2"]
    reader.close()


def test_it_can_read_all_that_kafka_keeps_and_knows_when_it_has(
    broker, topic, producer
):
    broker.create_topics({topic: 3})
    put(producer, topic, "1", "2", "3", "4")
    reader = reader_of(broker, topic, since_ms=EVERYTHING_MS)
    reader.open()
    assert not reader.at_end
    assert read(reader, 4) == ["1", "2", "3", "4"]
    eventually(lambda: reader.poll(0.1) == [] and reader.at_end)
    reader.close()


def test_a_topic_that_is_made_later_is_read_from_its_beginning(
    broker, topic, producer, look_at_once
):
    reader = reader_of(broker, topic)
    reader.open()
    assert reader.missing == [topic]
    assert reader.poll(0) == []
    broker.create_topics({topic: 2})
    put(producer, topic, "1", "2", "3")
    assert read(reader, 3) == ["1", "2", "3"]
    assert reader.missing == []
    reader.close()


@pytest.mark.kafka
def test_partitions_that_are_added_are_read_from_their_beginning(
    kafka, topic, look_at_once
):
    kafka.create_topics({topic: 1})
    reader = TopicTail(kafka.bootstrap, [topic])
    reader.open()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for future in admin.create_partitions([NewPartitions(topic, 3)]).values():
        future.result(20)
    raw = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap})
    eventually(lambda: len(raw.list_topics(topic).topics[topic].partitions) == 3)
    for number in range(3):
        raw.produce(topic, f"{number}", partition=number)
    assert raw.flush(20) == 0
    assert read(reader, 3) == ["0", "1", "2"]
    reader.close()


def test_opened_again_it_goes_on_where_it_stopped(broker, topic, producer):
    broker.create_topics({topic: 1})
    reader = reader_of(broker, topic)
    reader.open()
    put(producer, topic, "1")
    assert read(reader, 1) == ["1"]
    reader.close()
    put(producer, topic, "2")
    reader.open()
    assert read(reader, 1) == ["2"]
    reader.close()


@pytest.mark.kafka
def test_it_starts_at_a_time(kafka, topic):
    kafka.create_topics({topic: 2})
    with Producer(kafka.bootstrap) as producer:
        put(producer, topic, "old-1", "old-2")
        since_ms = last_append_ms(kafka, topic) + 1
        eventually(lambda: time.time() * 1000 > since_ms)
        put(producer, topic, "new-1", "new-2", "new-3")
    reader = TopicTail(kafka.bootstrap, [topic], since_ms=since_ms)
    reader.open()
    assert read(reader, 3) == ["new-1", "new-2", "new-3"]
    reader.close()


@pytest.mark.kafka
def test_a_time_after_all_records_skips_them(kafka, topic):
    kafka.create_topics({topic: 2})
    since_ms = round(time.time() * 1000) + 3_600_000
    with Producer(kafka.bootstrap) as producer:
        put(producer, topic, "old-1", "old-2")
        reader = TopicTail(kafka.bootstrap, [topic], since_ms=since_ms)
        reader.open()
        put(producer, topic, "new")
    assert read(reader, 1) == ["new"]
    reader.close()


def last_append_ms(kafka, topic):
    reader = TopicTail(kafka.bootstrap, [topic], since_ms=EVERYTHING_MS)
    reader.open()
    records = []
    eventually(lambda: records.extend(reader.poll(0.1)) or reader.at_end)
    reader.close()
    return max(record.timestamp_ms for record in records)


def test_the_embedded_broker_has_no_times_so_all_is_read(tmp_path):
    from agentsched.embedded.kafka import EmbeddedKafka  # noqa: PLC0415

    with (
        EmbeddedKafka({"results": 1}, tmp_path / "kafka.log") as mock,
        Producer(mock.bootstrap) as producer,
    ):
        put(producer, "results", "1", "2")
        reader = TopicTail(mock.bootstrap, ["results"], since_ms=1, fetch_wait_ms=10)
        reader.open()
        assert read(reader, 2) == ["1", "2"]
        reader.close()


def test_an_unreachable_kafka_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        reader = TopicTail(address, ["a"], properties={"log_level": 0})
        with pytest.raises(KafkaFailed, match=f"cannot read a: .*{address}"):
            reader.open(0.3)
        assert reader.problem
        reader.close()


def test_a_wrong_property_is_told_at_once():
    reader = TopicTail("127.0.0.1:1", ["a"], properties={"no.such.key": 1})
    with pytest.raises(PropertiesRefused, match=r"no\.such\.key"):
        reader.open()
