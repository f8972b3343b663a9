"""Headers whose name is not UTF-8 hide no header beside them.

faststream #2458 (row V of the cases that users of other products reported).
"""

import confluent_kafka
import pytest

from agentsched.errors import ErrorCode
from agentsched.kafka.message import inbound, text_headers
from agentsched.kafka.producer import Producer
from agentsched.kafka.readers.topic_tail import EVERYTHING_MS, TopicTail
from agentsched.wire.codec import decode_cancel, is_cancel
from agentsched.wire.dead_letters import dead_letter_record
from tests.support import raw_headers
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def _python_has_specialized_the_calls():
    """What the client raises shows elsewhere then, unless its call is checked."""
    message = confluent_kafka.Message(topic="t", headers=[("a", b"b")])
    for _ in range(1_000):
        inbound(message)


def read(broker, topic):
    reader = TopicTail(
        broker.bootstrap, [topic], since_ms=EVERYTHING_MS, fetch_wait_ms=10
    )
    reader.open()
    records = eventually(lambda: reader.poll(0.5))
    reader.close()
    return records


@pytest.fixture
def topic(broker, topic_prefix):
    name = f"{topic_prefix}t"
    broker.create_topics({name: 1, f"{name}.dead_letter": 1})
    return name


@pytest.fixture
def record(broker, topic):
    headers = [
        (b"\xff", b"of no name"),
        (b"kind", b"cancel"),
        (b"a\xffb", None),
        (b"correlation_id", b"c"),
        (b"none", None),
    ]
    raw_headers.produce(broker.bootstrap, topic, b"", headers)
    (record,) = read(broker, topic)
    return record


def test_the_good_headers_count(record):
    assert is_cancel(record)
    assert decode_cancel(record, 1_000_000).correlation_id == "c"


def test_a_dead_letter_keeps_all_values_and_all_names_that_are_text(
    broker, topic, record
):
    letter = dead_letter_record(record, f"{topic}:t:0", ErrorCode.CONFLICT, "x")
    with Producer(broker.bootstrap) as producer:
        producer.send(letter).result(10)
    (kept,) = read(broker, letter.topic)
    assert set(kept.headers.pairs) > {
        ("\ufffd", b"of no name"),
        ("\ufffd", None),
        ("original.kind", b"cancel"),
        ("correlation_id", b"c"),
        ("none", None),
    }


class Unreadable(confluent_kafka.Message):
    """What a client would give that decodes nothing at one bad name."""

    def headers(self):
        return b"\xff".decode()


def test_headers_that_the_client_does_not_give_are_no_empty_ones():
    message = Unreadable(topic="t", value=b"{}")
    assert text_headers(message) is None
    assert inbound(message).problem == "its headers cannot be read"


def test_text_in_headers_and_keys_is_not_cut_off_at_a_zero_byte(broker, topic):
    with Producer(broker.bootstrap) as producer:
        producer.produce(b"{}", topic, {"x": "a\0b"}, "k\0l").result(10)
    (record,) = read(broker, topic)
    assert (record.headers["x"], record.key) == ("a\0b", b"k\0l")
