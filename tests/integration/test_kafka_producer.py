"""The producer when Kafka is away, slow, or has broken the client for good."""

import logging
import socket
import subprocess
import sys
import threading

import pytest
from confluent_kafka import KafkaException

import agentsched.kafka.producer as producer_module
from agentsched.errors import DeliveryFailed
from agentsched.kafka.consumer import Consumer
from agentsched.kafka.errors import KafkaFailed, LocalQueueFull
from agentsched.kafka.producer import Producer
from agentsched.wire.records import OutboundRecord
from tests.support.kafka_cluster import KafkaCluster
from tests.support.mock_kafka import MockKafka
from tests.support.waiting import eventually

QUIET = {"log_level": 0}


@pytest.fixture
def nowhere():
    """An address that refuses every connection."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_making_a_producer_starts_no_thread(nowhere):
    before = threading.active_count()
    producer = Producer(nowhere)
    assert threading.active_count() == before
    assert producer.close() == 0


def test_a_record_that_is_not_acknowledged_in_time_fails_its_future(nowhere):
    producer = Producer(nowhere, properties=QUIET | {"delivery.timeout.ms": 300})
    future = producer.send(OutboundRecord("t", b"{}"))
    assert isinstance(future.exception(10), DeliveryFailed)
    assert isinstance(future.exception(), KafkaException)
    producer.close()


def test_close_gives_up_what_is_not_delivered_and_says_how_many(nowhere, caplog):
    producer = Producer(nowhere, properties=QUIET)
    futures = [producer.produce(b"secret", "t") for _ in range(3)]
    assert producer.close(timeout_s=0.2) == 3
    assert all(isinstance(each.exception(0), DeliveryFailed) for each in futures)
    assert "3 record(s) not acknowledged" in caplog.text
    assert "secret" not in caplog.text


def test_a_full_local_queue_blocks_and_then_fails(nowhere, monkeypatch):
    monkeypatch.setattr("agentsched.kafka.producer.QUEUE_WAIT_S", 0.2)
    few = {"queue.buffering.max.messages": 2}
    producer = Producer(nowhere, properties=QUIET | few)
    for _ in range(2):
        producer.produce(b"{}", "t")
    with pytest.raises(LocalQueueFull, match="produce less at once"):
        producer.produce(b"{}", "t")
    producer.close(timeout_s=0)


def test_send_never_waits_for_room_in_the_local_queue(nowhere, monkeypatch):
    # A bridge's loop calls it: issue "a house that a stranger knows his way in", 3.
    an_hour_s = 3600.0
    monkeypatch.setattr("agentsched.kafka.producer.QUEUE_WAIT_S", an_hour_s)
    few = {"queue.buffering.max.messages": 2}
    producer = Producer(nowhere, properties=QUIET | few)
    sent = [producer.send(OutboundRecord("t", b"{}")) for _ in range(4)]
    assert [each.done() for each in sent] == [False, False, True, True]
    assert isinstance(sent[-1].exception(0), DeliveryFailed)
    assert "the local queue is full" in str(sent[-1].exception(0))
    producer.close(timeout_s=0)
    assert all(each.done() for each in sent)


def test_send_goes_through_again_once_there_is_room(broker, topic_prefix):
    topic = f"{topic_prefix}t"
    broker.create_topics({topic: 1})
    # Nothing leaves before the flush: the queue is full for certain.
    few = {"queue.buffering.max.messages": 2, "linger.ms": 900_000}
    few["delivery.timeout.ms"] = 1_000_000
    with Producer(broker.bootstrap, properties=few) as producer:
        sent = [producer.send(OutboundRecord(topic, b"{}")) for _ in range(3)]
        assert isinstance(sent[2].exception(0), DeliveryFailed)
        assert producer.flush(10) == 0
        again = producer.send(OutboundRecord(topic, b"{}"))
        assert producer.flush(10) == 0
        places = [future.result(10).offset for future in (*sent[:2], again)]
    assert places == [0, 1, 2]


def test_send_does_not_wait_while_a_broken_client_is_given_up(monkeypatch, caplog):
    caplog.set_level(logging.CRITICAL, "agentsched.kafka.librdkafka")
    sending, given_up = threading.Event(), []

    def give_up(client):
        # Whoever sends does not wait for this: else it would never go on.
        given_up.append(sending.wait(20))
        give_up_really(client)

    give_up_really = producer_module._give_up
    monkeypatch.setattr(producer_module, "_give_up", give_up)
    with MockKafka({"t": 1}) as mock:
        mock.refuse_producer_ids(1)
        producer = Producer(mock.bootstrap)
        first = producer.send(OutboundRecord("t", b"1"))
        eventually(lambda: producer._broken or producer._client is None)
        second = producer.send(OutboundRecord("t", b"2"))
        sending.set()
        assert isinstance(first.exception(10), DeliveryFailed)
        assert second.result(10).offset == 0
        assert producer.close() == 0
    assert given_up == [True]


def test_a_producer_waits_while_the_local_queue_is_full(broker, topic_prefix):
    topic = f"{topic_prefix}t"
    broker.create_topics({topic: 1})
    few = {"queue.buffering.max.messages": 2}
    with Producer(broker.bootstrap, properties=few) as producer:
        futures = [producer.produce(b"{}", topic) for _ in range(50)]
        assert [future.result(10).offset for future in futures] == list(range(50))


def test_an_unknown_key_is_refused_with_its_name():
    producer = Producer("localhost", properties={"no.such.key": 1})
    with pytest.raises(KafkaFailed, match=r"no\.such\.key"):
        producer.produce(b"{}", "t")


def test_a_client_that_broke_for_good_is_replaced(caplog):
    caplog.set_level(logging.CRITICAL, "agentsched.kafka.librdkafka")
    with MockKafka({"t": 1}) as mock:
        mock.refuse_producer_ids(1)
        producer = Producer(mock.bootstrap)
        first = producer.send(OutboundRecord("t", b"1"))
        assert isinstance(first.exception(10), DeliveryFailed)
        assert producer.send(OutboundRecord("t", b"2")).result(10).offset == 0
        assert producer.close() == 0


FORGETS = """
import sys
from agentsched.kafka.producer import Producer
Producer(sys.argv[1]).produce(b"{}", sys.argv[2])
"""


def test_a_program_that_forgets_close_loses_nothing_at_its_end(broker, topic_prefix):
    topic = f"{topic_prefix}t"
    broker.create_topics({topic: 1})
    subprocess.run(
        [sys.executable, "-c", FORGETS, broker.bootstrap, topic], timeout=30, check=True
    )
    with Producer(broker.bootstrap) as producer:
        assert producer.produce(b"{}", topic).result(10).offset == 1


def test_subscribing_to_an_unreachable_kafka_says_where_it_was_sought(
    nowhere, monkeypatch
):
    monkeypatch.setattr("agentsched.kafka.consumer.SUBSCRIBE_S", 0.5)
    consumer = Consumer(nowhere, "agents", properties=QUIET)
    with pytest.raises(KafkaFailed, match=f"cannot subscribe.*{nowhere}"):
        consumer.subscribe(["t"])
    consumer.close()


@pytest.mark.kafka
@pytest.mark.long
def test_nothing_is_lost_or_doubled_when_a_node_is_killed(topic_prefix):
    with KafkaCluster(3) as cluster:
        cluster.create_topics({"t": 3})
        with Producer(cluster.bootstrap) as producer:
            futures = [producer.produce(b"%d" % number, "t") for number in range(1000)]
            cluster.kill_node(0)
            futures += [producer.produce(b"%d" % number, "t") for number in range(1000)]
            places = [future.result(60) for future in futures]
        assert len(set(places)) == 2000
        ends = {each.partition: 0 for each in places}
        for each in places:
            ends[each.partition] = max(ends[each.partition], each.offset + 1)
        assert sum(ends.values()) == 2000
