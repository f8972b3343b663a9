"""What agents rely on, on the embedded broker and on real Apache Kafka."""

import subprocess
import sys
import threading
import time

import confluent_kafka
import pytest
from confluent_kafka import KafkaException

from agentsched.errors import AgentSchedError, DeliveryFailed
from agentsched.kafka.consumer import Consumer
from agentsched.kafka.errors import ConsumerClosed, KafkaFailed, ProducerClosed
from agentsched.kafka.producer import Producer
from agentsched.types import Message, Reply, TaskStatus
from agentsched.wire.codec import encode_message
from agentsched.wire.records import OutboundRecord
from tests.support.waiting import eventually, promised


@pytest.fixture
def topic(broker, topic_prefix):
    name = f"{topic_prefix}results"
    broker.create_topics({name: 2})
    return name


@pytest.fixture
def producer(broker):
    producer = Producer(broker.bootstrap)
    yield producer
    producer.close()


@pytest.fixture
def open_consumer(broker, topic_prefix):
    opened = []

    def open_one(reset="latest", properties=broker.properties):
        consumer = Consumer(
            broker.bootstrap, f"{topic_prefix}agents", reset, properties=properties
        )
        opened.append(consumer)
        return consumer

    yield open_one
    for consumer in opened:
        consumer.close()


def reply(correlation_id, content="an answer"):
    return Reply(
        id="1",
        correlation_id=correlation_id,
        content=content,
        status=TaskStatus.COMPLETED,
    )


def next_of(consumer):
    return eventually(
        lambda: consumer.consume(timeout=0.5), timeout_s=20, message="no message came"
    )


def rest_of(consumer, seconds=1.0):
    deadline = time.monotonic() + seconds
    found = []
    while time.monotonic() < deadline:
        if message := consumer.consume(timeout=0.2):
            found.append(message)
    return found


def test_a_reply_sent_right_after_subscribe_is_received(producer, open_consumer, topic):
    consumer = open_consumer()
    consumer.subscribe([topic])
    producer.produce(reply("early"), topic).result(10)
    assert next_of(consumer).correlation_id == "early"


def test_latest_leaves_out_what_was_there_before_subscribe(
    producer, open_consumer, topic
):
    for number in range(4):
        producer.produce(reply(f"old {number}"), topic).result(10)
    consumer = open_consumer()
    consumer.subscribe([topic])
    producer.produce(reply("new"), topic).result(10)
    assert next_of(consumer).correlation_id == "new"


def test_earliest_starts_with_all_that_kafka_keeps(producer, open_consumer, topic):
    producer.produce(reply("old"), topic).result(10)
    consumer = open_consumer("earliest")
    consumer.subscribe([topic])
    assert next_of(consumer).correlation_id == "old"


def test_a_topic_created_after_subscribe_is_read_from_its_beginning(
    broker, producer, open_consumer, topic_prefix
):
    # The embedded broker does not tell KIP-848 members of new topics; the client's own
    # protocol notices them.
    consumer = open_consumer(properties={"fetch.wait.max.ms": 10})
    consumer.subscribe([f"{topic_prefix}later"])
    assert consumer.consume(timeout=0.2) is None
    broker.create_topics({f"{topic_prefix}later": 1})
    producer.produce(reply("first"), f"{topic_prefix}later").result(10)
    assert next_of(consumer).correlation_id == "first"


def test_a_request_comes_back_as_message_and_a_reply_as_reply(
    producer, open_consumer, topic
):
    consumer = open_consumer()
    consumer.subscribe([topic])
    producer.produce({"id": "7", "content": "a prompt"}, topic, key="k").result(10)
    producer.produce(reply("8"), topic, key="k").result(10)
    assert [type(next_of(consumer)) for _ in range(2)] == [Message, Reply]


def test_a_record_that_is_no_message_is_skipped_with_a_warning(
    producer, open_consumer, topic, caplog
):
    consumer = open_consumer()
    consumer.subscribe([topic])
    producer.produce(b"\xff secret", topic, key="k").result(10)
    producer.produce(reply("good"), topic, key="k").result(10)
    assert next_of(consumer).correlation_id == "good"
    assert "skipped" in caplog.text
    assert "secret" not in caplog.text


def test_a_second_reply_to_the_same_request_is_dropped(producer, open_consumer, topic):
    consumer = open_consumer()
    consumer.subscribe([topic])
    for content in ("first", "second"):
        producer.produce(reply("same", content), topic).result(10)
    producer.produce(reply("other", "last"), topic, key="same").result(10)
    assert [next_of(consumer).content for _ in range(2)] == ["first", "last"]


def test_the_next_consumer_of_a_group_goes_on_where_the_last_one_closed(
    producer, open_consumer, topic
):
    first = open_consumer()
    first.subscribe([topic])
    for number in range(3):
        producer.produce(reply(f"{number}"), topic, key="k").result(10)
    assert [next_of(first).correlation_id for _ in range(2)] == ["0", "1"]
    first.close()
    second = open_consumer()
    second.subscribe([topic])
    assert next_of(second).correlation_id == "2"


def test_replies_that_came_while_no_consumer_ran_are_received(
    producer, open_consumer, topic
):
    first = open_consumer()
    first.subscribe([topic])
    producer.produce(reply("before"), topic).result(10)
    next_of(first)
    first.close()
    producer.produce(reply("meanwhile"), topic).result(10)
    second = open_consumer()
    second.subscribe([topic])
    assert next_of(second).correlation_id == "meanwhile"


def test_consume_after_close_says_so_in_the_main_thread(open_consumer, topic):
    consumer = open_consumer()
    consumer.subscribe([topic])
    consumer.close()
    with pytest.raises(ConsumerClosed, match="make a new one"):
        consumer.consume(timeout=0.1)


def test_close_from_another_thread_ends_a_running_consume(open_consumer, topic):
    consumer = open_consumer()
    consumer.subscribe([topic])
    ends = []

    def read():
        try:
            consumer.consume(timeout=30.0)
        except SystemExit as end:
            ends.append(end)

    thread = threading.Thread(target=read)
    thread.start()
    consumer.close()
    thread.join(5)
    assert [type(end) for end in ends] == [SystemExit]


LOOP = """
import sys, threading
from confluent_kafka import KafkaException
from agentsched.kafka.consumer import Consumer
consumer = Consumer(sys.argv[1], sys.argv[2], properties=eval(sys.argv[4]))
consumer.subscribe([sys.argv[3]])
reading = threading.Event()
def loop():
    while True:
        try:
            reading.set()
            consumer.consume(timeout=1.0)
        except KafkaException as error:
            print("Error", error)
threading.Thread(target=loop).start()
reading.wait()
consumer.close()
"""


def test_a_program_whose_consumer_is_closed_ends_and_prints_nothing(
    broker, topic, topic_prefix
):
    properties = repr(broker.properties)
    arguments = [broker.bootstrap, f"{topic_prefix}group", topic, properties]
    run = subprocess.run(
        [sys.executable, "-c", LOOP, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.timed
def test_closing_while_the_group_is_joined_takes_no_time(
    broker, open_consumer, topic_prefix
):
    """Partitions may arrive inside close(), where the client answers no question."""
    for number in range(20):
        broker.create_topics({f"{topic_prefix}{number}": 1})
        consumer = open_consumer()
        consumer.subscribe([f"{topic_prefix}{number}"])
        with promised(4):
            consumer.close()


def test_what_is_read_while_another_thread_closes_is_left_for_the_next_consumer(
    producer, open_consumer, topic, monkeypatch
):
    producer.produce(reply("a"), topic).result(10)

    class ClosedWhileItReads(confluent_kafka.Consumer):
        def poll(self, timeout_s):
            if (record := super().poll(timeout_s)) and not record.error():
                threading.Thread(target=consumer.close).start()
                assert consumer._closing.wait(60)
            return record

    with monkeypatch.context() as patch:
        patch.setattr(confluent_kafka, "Consumer", ClosedWhileItReads)
        consumer = open_consumer("earliest")
        consumer.subscribe([topic])
        with pytest.raises(ConsumerClosed):
            next_of(consumer)
        consumer.close()
    after = open_consumer("earliest")
    after.subscribe([topic])
    assert next_of(after).correlation_id == "a"


def test_who_closes_again_waits_until_the_group_is_left(
    open_consumer, topic, monkeypatch
):
    """Else the program could end meanwhile, and its last position would be lost."""
    done = []
    consumer = open_consumer()
    consumer.subscribe([topic])
    again = threading.Thread(target=lambda: (consumer.close(), done.append("again")))

    def leave_slowly(client, _properties):
        again.start()
        again.join(0.5)
        client.close()
        done.append("left")

    monkeypatch.setattr("agentsched.kafka.consumer.leave", leave_slowly)
    consumer.close()
    again.join(10)
    assert done == ["left", "again"]


def test_closing_twice_is_closing_once(open_consumer, producer, topic):
    consumer = open_consumer()
    consumer.subscribe([topic])
    consumer.close()
    consumer.close()
    assert producer.close() == producer.close() == 0


def test_reading_without_subscribing_is_a_kafka_exception_of_ours(open_consumer):
    with pytest.raises(KafkaException, match="call subscribe") as caught:
        open_consumer().consume(timeout=0.1)
    assert isinstance(caught.value, AgentSchedError)


def test_the_future_of_a_record_says_where_it_is(producer, topic):
    first = producer.produce(reply("1"), topic, key="k").result(10)
    second = producer.produce(reply("2"), topic, key="k").result(10)
    assert second == first.__class__(topic, first.partition, first.offset + 1)


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (Message(correlation_id="c"), None),
        ({"correlation_id": "c"}, None),
        (b"{}", {"correlation_id": "c"}),
    ],
    ids=["message", "fields", "header"],
)
def test_the_key_of_a_record_is_its_correlation_id(producer, topic, value, headers):
    expected = producer.produce("{}", topic, key="c").result(10).partition
    places = {
        producer.produce(value, topic, headers=headers).result(10).partition
        for _ in range(4)
    }
    assert places == {expected}


def test_a_record_of_one_mebibyte_is_delivered(producer, open_consumer, topic):
    consumer = open_consumer()
    consumer.subscribe([topic])
    room = 1_048_576 - len(encode_message(reply("big", "")))
    # The broker's default counts the frame of the record, too.
    producer.produce(reply("big", "x" * (room - 200)), topic).result(10)
    assert len(next_of(consumer).content) == room - 200


def test_flush_waits_for_all_acknowledgements(producer, topic):
    futures = [producer.produce(reply(f"{n}"), topic) for n in range(100)]
    assert producer.flush(10) == 0
    assert all(future.done() for future in futures)


def test_producing_after_close_is_a_kafka_exception_of_ours(producer, topic):
    producer.close()
    with pytest.raises(ProducerClosed) as caught:
        producer.produce(reply("1"), topic)
    assert isinstance(caught.value, KafkaException)


def test_send_never_raises_but_its_future_fails(producer, topic):
    producer.close()
    future = producer.send(OutboundRecord(topic, b"{}"))
    assert isinstance(future.exception(0), DeliveryFailed)


def test_a_record_too_large_for_the_client_is_refused_at_once(producer, topic):
    with pytest.raises(KafkaFailed, match="size"):
        producer.produce(b"x" * 2_000_000, topic)


def test_many_threads_may_produce_at_once(producer, topic):
    futures = []

    def produce():
        futures.extend([producer.produce(b"{}", topic, key="k") for _ in range(50)])

    threads = [threading.Thread(target=produce) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({future.result(10).offset for future in futures}) == 200
