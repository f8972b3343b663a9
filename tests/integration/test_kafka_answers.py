"""Replies and dead letters are found again, on both brokers."""

import time

import confluent_kafka
import pytest

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.errors import KafkaFailed
from agentsched.kafka.producer import Producer
from agentsched.kafka.readers.reply_lookup import find_answers
from agentsched.wire.source_record import SourceRecord

SOURCE = "high_priority:T1:0"


@pytest.fixture
def settings(broker):
    return KafkaSettings(bootstrap_servers=(broker.bootstrap,))


@pytest.fixture
def topics(broker, topic_prefix):
    names = {f"{topic_prefix}results": 3, f"{topic_prefix}high.dead_letter": 1}
    broker.create_topics(names)
    return list(names)


@pytest.fixture
def produce(broker):
    with Producer(broker.bootstrap) as producer:

        def answer(topic, offset, source=SOURCE, key="k", **more):
            headers = SourceRecord.of(source, offset).headers() | more
            return producer.produce("{}", topic, headers, key=key).result(20)

        yield answer


def since_now_ms():
    return round(time.time() * 1000)


def test_answers_are_found_over_all_topics_and_partitions(settings, topics, produce):
    results, letters = topics
    places = {
        produce(results, offset, key=f"{offset}").partition for offset in range(9)
    }
    produce(letters, 20, reason="MALFORMED")
    produce(letters, 21, reason="POISON")
    produce(results, 22, kind="chunk")
    assert len(places) == 3
    wanted = {SOURCE: range(4, 30), "low_priority:T2:0": range(30)}
    found = find_answers(settings, topics, wanted, since_now_ms() - 60_000)
    assert found == {SOURCE: {4, 5, 6, 7, 8, 20}}


def test_answers_of_a_topic_that_had_the_same_name_are_not_meant(
    settings, topics, produce
):
    produce(topics[0], 1, source="high_priority:Tbefore:0")
    produce(topics[0], 2)
    produce(topics[0], 3, source_topic_id="", agentsched_version="1")
    produce(topics[0], 4, source="high_priority:T1:1")
    found = find_answers(settings, topics, {SOURCE: range(9)}, 0)
    assert found == {SOURCE: {2, 3}}


def test_topics_that_are_empty_or_missing_hold_no_answers(settings, topics):
    assert find_answers(settings, [*topics, "nowhere"], {SOURCE: range(9)}, 0) == {}


def test_who_is_stopped_gives_up(settings, topics, produce):
    produce(topics[0], 1)
    with pytest.raises(KafkaFailed, match="ends"):
        find_answers(settings, topics, {SOURCE: range(9)}, 0, stopped=lambda: True)


def test_a_kafka_that_is_gone_is_an_error():
    nowhere = KafkaSettings(bootstrap_servers=("127.0.0.1:1",))
    with pytest.raises(KafkaFailed, match="cannot be read"):
        find_answers(nowhere, ["results"], {SOURCE: range(9)}, 0)


@pytest.mark.kafka
def test_only_what_may_be_new_enough_is_read(kafka, topic_prefix):
    """The broker's clock is ours here: what is older than the skew is not looked at."""
    topic = f"{topic_prefix}results"
    kafka.create_topics({topic: 1}, {"message.timestamp.type": "CreateTime"})
    client = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap})
    now_ms, day_ms = since_now_ms(), 86_400_000
    for offset, age_ms in enumerate((3 * day_ms, day_ms // 2, 0)):
        headers = SourceRecord.of(SOURCE, offset).headers()
        client.produce(topic, "{}", headers=headers, timestamp=now_ms - age_ms)
    assert client.flush(20) == 0
    settings = KafkaSettings(bootstrap_servers=(kafka.bootstrap,))
    # Whose clock it is, is not known: a day is allowed for.
    found = find_answers(settings, [topic], {SOURCE: range(9)}, now_ms)
    assert found == {SOURCE: {1, 2}}


@pytest.mark.kafka
def test_the_ends_of_transactions_and_an_open_one_hide_nothing(kafka, topic_prefix):
    topic = f"{topic_prefix}results"
    kafka.create_topics({topic: 1})
    client = confluent_kafka.Producer(
        {"bootstrap.servers": kafka.bootstrap, "transactional.id": topic_prefix}
    )
    settings = KafkaSettings(bootstrap_servers=(kafka.bootstrap,))
    client.init_transactions(30)
    for number in range(2):
        client.begin_transaction()
        client.produce(topic, "x")
        client.flush(10)
        with Producer(kafka.bootstrap) as plain:
            headers = SourceRecord.of(SOURCE, number).headers()
            plain.produce("{}", topic, headers).result(20)
        if number == 0:
            client.commit_transaction(30)
            # The last record is now the end of a transaction.
            assert find_answers(settings, [topic], {SOURCE: range(9)}, 0) == {
                SOURCE: {0}
            }
    found = find_answers(settings, [topic], {SOURCE: range(9)}, since_now_ms())
    client.abort_transaction(30)
    assert found == {SOURCE: {0, 1}}
