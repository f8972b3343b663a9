"""The keys that the delivery contract rests on, and that librdkafka takes them all."""

import confluent_kafka
import pytest

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.librdkafka import (
    agent_consumer_properties,
    agent_producer_properties,
    is_cooperative,
    producer_properties,
    reader_properties,
    request_source_properties,
)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_librdkafka_takes_the_keys_of_the_request_source(protocol):
    settings = KafkaSettings(group_protocol=protocol)
    confluent_kafka.Consumer(request_source_properties(settings)).close()


@pytest.mark.parametrize("more", [{}, {"group.protocol": "consumer"}])
def test_librdkafka_takes_the_keys_of_an_agents_consumer(more):
    properties = agent_consumer_properties(["localhost:9092"], "agents", more)
    confluent_kafka.Consumer(properties).close()


def test_librdkafka_takes_the_keys_of_the_reader():
    confluent_kafka.Consumer(reader_properties(KafkaSettings())).close()


def test_librdkafka_takes_the_keys_of_a_producer():
    more = producer_properties(KafkaSettings(), delivery_timeout_s=10)
    producer = confluent_kafka.Producer(agent_producer_properties("localhost", more))
    assert producer.flush(0) == 0


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_partitions_of_the_bridge_come_and_go_one_by_one(protocol):
    settings = KafkaSettings(group_protocol=protocol)
    assert is_cooperative(request_source_properties(settings))


@pytest.mark.parametrize(
    ("key", "wrong", "right"),
    [
        ("enable.auto.commit", True, False),
        ("enable.auto.offset.store", True, False),
        ("auto.offset.reset", "latest", "error"),
    ],
)
def test_no_setting_makes_the_bridge_commit_what_is_not_answered(key, wrong, right):
    settings = KafkaSettings(properties={key: wrong})
    assert request_source_properties(settings)[key] == right


def test_no_setting_takes_the_acknowledgement_of_all_replicas_away():
    properties = agent_producer_properties("localhost", {"acks": "1"})
    assert (properties["acks"], properties["enable.idempotence"]) == ("all", True)


def test_a_setting_wins_over_a_default():
    settings = KafkaSettings(properties={"fetch.wait.max.ms": 7})
    assert request_source_properties(settings)["fetch.wait.max.ms"] == 7


def test_times_in_seconds_become_milliseconds():
    settings = KafkaSettings(session_timeout_s=6.5)
    assert request_source_properties(settings)["session.timeout.ms"] == 6500
    properties = producer_properties(settings, delivery_timeout_s=2.5)
    assert properties["delivery.timeout.ms"] == 2500
    # A missing topic is known for one before the record runs out of time.
    assert properties["topic.metadata.propagation.max.ms"] < 2500


def test_the_producer_takes_the_largest_value_with_its_headers():
    properties = producer_properties(KafkaSettings(), value_max_bytes=3_000_000)
    assert properties["message.max.bytes"] > 3_000_000 + 10_000


def test_several_servers_become_one_list():
    properties = agent_producer_properties(["a:1", "b:2"])
    assert properties["bootstrap.servers"] == "a:1,b:2"
