"""A reply that Kafka refuses for good goes another way; nothing else changes."""

from concurrent.futures import Future
from dataclasses import replace

import pytest

from agentsched.errors import DeliveryFailed
from agentsched.kafka.reply_sink import ReplySink
from agentsched.types import Reply, TaskStatus
from agentsched.wire.codec import decode_message, encode_message
from agentsched.wire.records import OutboundRecord, RecordAt

LIMIT_BYTES = 1_000
MISSING = "gone.results"


class SmallTopic:
    """Takes records up to a limit, or says what it was told to say; one is missing."""

    def __init__(self):
        self.taken = []
        self.error = None

    def send(self, record):
        sending = Future()
        error = self.error
        if record.topic == MISSING:
            error = DeliveryFailed("no such topic")
            error.no_topic = True
        elif error is None and len(record.value or b"") > LIMIT_BYTES:
            error = DeliveryFailed("too large")
            error.too_large = True
        if error is not None:
            sending.set_exception(error)
        else:
            self.taken.append(record)
            sending.set_result(RecordAt(record.topic, 0, len(self.taken)))
        return sending

    def flush(self, timeout_s):
        return 3

    def close(self, timeout_s):
        return "closed"


@pytest.fixture
def topic():
    return SmallTopic()


@pytest.fixture
def sink(topic):
    return ReplySink(topic, "results", ["dead.letters"])


def reply(content, status=TaskStatus.COMPLETED):
    return Reply(
        id="mine", correlation_id="c", status=status, content=content, attempts=2
    )


def record(value, topic="results"):
    return OutboundRecord(topic, value, "c", {"source_offset": "7"})


def test_what_fits_is_sent_as_it_is(sink, topic):
    sent = record(encode_message(reply("short")))
    assert sink.send(sent).result() == RecordAt("results", 0, 1)
    assert topic.taken == [sent]


def test_a_reply_that_does_not_fit_is_answered_with_its_reason(sink, topic):
    whole = encode_message(reply("x" * LIMIT_BYTES))
    assert sink.send(record(whole)).result() == RecordAt("results", 0, 1)
    (taken,) = topic.taken
    assert (taken.key, taken.headers) == ("c", {"source_offset": "7"})
    short = decode_message(taken.value)
    assert (short.id, short.status, short.attempts) == ("mine", "failed", 2)
    assert short.error.code == "REPLY_TOO_LARGE"
    assert f"{len(whole)} bytes" in short.error.message
    assert "xx" not in taken.value.decode()


def test_it_is_the_same_reply_every_time(sink, topic):
    for _ in range(2):
        sink.send(record(encode_message(reply("x" * LIMIT_BYTES)))).result()
    first, second = topic.taken
    assert first == second


@pytest.mark.parametrize(
    "value",
    [
        b"x" * (LIMIT_BYTES + 1),  # a dead letter, say
        encode_message(reply("x" * LIMIT_BYTES, TaskStatus.FAILED)),
    ],
)
def test_what_is_no_answer_fails(sink, topic, value):
    with pytest.raises(DeliveryFailed, match="too large"):
        sink.send(record(value)).result()
    assert topic.taken == []


@pytest.mark.parametrize("content", ["short", "x" * LIMIT_BYTES])
def test_a_reply_whose_topic_is_missing_goes_to_the_output_topic(sink, topic, content):
    sent = record(encode_message(reply(content)), MISSING)
    assert sink.send(sent).result() == RecordAt("results", 0, 1)
    (taken,) = topic.taken
    assert (taken.key, taken.headers) == (sent.key, sent.headers)
    assert len(taken.value) <= LIMIT_BYTES


@pytest.mark.parametrize("name", ["results", "dead.letters"])
def test_another_topic_that_is_missing_is_waited_for(name):
    class NoTopic(SmallTopic):
        def send(self, record):
            return super().send(replace(record, topic=MISSING))

    sink = ReplySink(NoTopic(), "results", ["dead.letters"])
    with pytest.raises(DeliveryFailed, match="no such topic"):
        sink.send(record(encode_message(reply("short")), name)).result()


def test_another_failure_is_the_futures(sink, topic):
    topic.error = DeliveryFailed("no leader")
    with pytest.raises(DeliveryFailed, match="no leader"):
        sink.send(record(encode_message(reply("short")))).result()


def test_the_short_one_may_fail_too(sink, topic):
    topic.error = DeliveryFailed("whatever its size")
    topic.error.too_large = True
    with pytest.raises(DeliveryFailed, match="whatever"):
        sink.send(record(encode_message(reply("short")))).result()


def test_waiting_and_ending_are_the_other_sinks(sink):
    assert (sink.flush(1), sink.close(1)) == (3, "closed")


def test_a_reply_that_is_refused_late_is_not_sent_another_way_any_more(topic):
    """After a loss of Redis two delivery time-outs are waited for, and no third."""
    now_s = [0.0]
    sink = ReplySink(topic, "results", delivery_timeout_s=10.0, now_s=lambda: now_s[0])
    waiting = Future()
    topic.send, taken = (lambda _record: waiting), topic.send
    sent = sink.send(record(encode_message(reply("x")), MISSING))
    topic.send, now_s[0] = taken, 10.1
    error = DeliveryFailed("no such topic")
    error.no_topic = True
    waiting.set_exception(error)
    assert sent.exception() is error
    assert topic.taken == []
