"""A group member leaves while its coordinator is in trouble; librdkafka's mock broker."""

import logging

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.consumer import Consumer as AgentConsumer
from agentsched.kafka.group import departure
from agentsched.wire.records import Mark, Partition
from tests.support.member import Member, until_assigned
from tests.support.mock_kafka import MockKafka
from tests.support.waiting import eventually

WHERE = Partition("t", 0)


@pytest.fixture
def mock():
    with MockKafka({"t": 1}) as mock:
        mock.serve_groups()
        yield mock


@pytest.fixture
def member(mock):
    settings = KafkaSettings(bootstrap_servers=(mock.bootstrap,), group_id="g")
    member = Member(settings)
    member.source.subscribe(["t"])
    until_assigned(member)
    return member


def test_the_last_commit_is_the_last_although_the_one_before_is_sent_again(
    mock, member
):
    mock.load_at_the_next_commit()
    member.source.commit({WHERE: Mark(6)})
    member.commit_at_revoke = {WHERE: Mark(10)}
    member.source.close()
    reader = Consumer({"bootstrap.servers": mock.bootstrap, "group.id": "g"})
    (found,) = reader.committed([TopicPartition(*WHERE)], timeout=10)
    reader.close()
    assert found.offset == 10


def test_a_silent_coordinator_does_not_hold_who_leaves(
    mock, member, caplog, monkeypatch
):
    monkeypatch.setattr(departure, "CLOSE_S", 2)
    member.commit_at_revoke = {WHERE: Mark(10)}
    mock.fall_silent()
    with caplog.at_level(logging.WARNING):
        member.source.close()
    assert "the group was not left" in caplog.text


def test_a_silent_coordinator_does_not_hold_an_agent(mock, caplog, monkeypatch):
    monkeypatch.setattr(departure, "CLOSE_S", 2)
    consumer = AgentConsumer(mock.bootstrap, "g", "earliest")
    consumer.subscribe("t")
    with Producer({"bootstrap.servers": mock.bootstrap}) as producer:
        producer.produce("t", b'{"correlation_id": "c", "content": ""}')
        producer.flush(10)
    eventually(lambda: consumer.consume(0.1), timeout_s=20)
    mock.fall_silent()
    with caplog.at_level(logging.WARNING):
        consumer.close()
    assert "the group was not left" in caplog.text
