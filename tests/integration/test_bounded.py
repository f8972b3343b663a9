"""Reading what a topic holds now, and deleting the oldest of it, on both brokers."""

import contextlib

import pytest

from agentsched.config.settings import KafkaSettings
from agentsched.errors import ErrorCode
from agentsched.kafka.admin.record_deletion import delete_before
from agentsched.kafka.errors import KafkaFailed
from agentsched.kafka.offsets import Bounds
from agentsched.kafka.producer import Producer
from agentsched.kafka.readers.topic_scan import TopicScan
from agentsched.operations.dead_letters.search import (
    LetterFilter,
    search,
    whole_letters,
)
from agentsched.wire.dead_letters import dead_letter_record
from agentsched.wire.records import Headers, OutboundRecord, Partition
from agentsched.wire.replays import marker_record
from tests.support.requests import record


@pytest.fixture
def settings(broker):
    return KafkaSettings(bootstrap_servers=(broker.bootstrap,), fetch_wait_ms=10)


@pytest.fixture
def topic(broker, topic_prefix):
    name = f"{topic_prefix}m.dead_letter"
    broker.create_topics({name: 2})
    return name


@pytest.fixture
def put(broker, topic):
    with Producer(broker.bootstrap) as producer:

        def put(value, partition=0, headers=(), key=None):
            record = OutboundRecord(topic, value, key, Headers(headers), partition)
            return producer.send(record).result(20)

        yield put


@contextlib.contextmanager
def scan_of(settings, *topics):
    with contextlib.closing(TopicScan(settings, topics)) as scan:
        scan.open()
        yield scan


def values(scan, spans):
    return [each.value for each in scan.read(spans)]


def test_all_that_was_there_at_first_is_read_and_then_it_ends(settings, topic, put):
    for number in range(3):
        put(b"%d" % number, partition=number % 2)
    with scan_of(settings, topic) as scan:
        put(b"later")
        assert sorted(values(scan, scan.held)) == [b"0", b"1", b"2"]


def test_a_part_of_it_can_be_read_again_and_again(settings, topic, put):
    for number in range(5):
        put(b"%d" % number)
    with scan_of(settings, topic) as scan:
        for low, end in ((3, 5), (0, 1), (1, 3)):
            spans = {Partition(topic, 0): Bounds(low, end)}
            assert values(scan, spans) == [b"%d" % each for each in range(low, end)]


def test_records_come_with_key_headers_and_the_time_that_kafka_keeps(
    settings, topic, put
):
    pairs = (("h", b"\xff"), ("h", b"2"), ("none", None))
    put(None, headers=pairs, key=b"\x00k")
    with scan_of(settings, topic) as scan:
        (read,) = scan.read(scan.held)
        (again,) = scan.read(scan.held)
    assert (read.value, read.key, read.headers.pairs) == (None, b"\x00k", pairs)
    assert 0 < read.timestamp_ms == again.timestamp_ms


def test_a_topic_that_is_not_there_holds_nothing(settings, topic_prefix):
    with scan_of(settings, f"{topic_prefix}never") as scan:
        assert (scan.held, list(scan.read(scan.held))) == ({}, [])


def test_an_empty_topic_holds_nothing(settings, topic):
    with scan_of(settings, topic) as scan:
        assert list(scan.read(scan.held)) == []


def test_of_many_letters_the_newest_are_found_and_the_rest_is_counted(
    settings, topic, put
):
    input_topic = topic.removesuffix(".dead_letter")
    for number in range(5):
        bad = record(number, {"correlation_id": f"c{number}"}, topic=input_topic)
        sent = dead_letter_record(bad, f"{input_topic}:t:0", ErrorCode.CONFLICT, "")
        at = put(sent.value, headers=sent.headers.pairs)
    marker = marker_record(at, at)
    put(None, headers=Headers.of(marker.headers).pairs)
    put(b"somebody else's")
    with scan_of(settings, topic) as scan:
        result = search(scan, [topic, "never"], LetterFilter(), most=3)
        assert [each.letter.correlation_id for each in result.found] == [
            "c2",
            "c3",
            "c4",
        ]
        assert [each.replayed is None for each in result.found] == [True, True, False]
        assert (result.dropped, result.strange) == (2, 1)
        assert result.missing == ("never",)
        assert {each.letter.record.value for each in result.found} == {None}
        (whole,) = whole_letters(scan, [result.found[0].letter.at])
    assert b'"c2"' in whole.record.value


def test_a_replay_is_known_however_late_it_was(settings, topic, put):
    input_topic = topic.removesuffix(".dead_letter")
    bad = record(0, b"x", topic=input_topic)
    sent = dead_letter_record(bad, f"{input_topic}:t:0", ErrorCode.MALFORMED, "")
    at = put(sent.value, headers=sent.headers.pairs)
    put(b"between")
    put(None, headers=Headers.of(marker_record(at, at).headers).pairs)
    with scan_of(settings, topic) as scan:
        (found,) = search(scan, [topic], LetterFilter(places=frozenset({at}))).found
    assert found.replayed is not None


@pytest.mark.kafka
def test_the_oldest_records_are_deleted_and_the_rest_stays(
    kafka, topic_prefix, tmp_path
):
    topic = f"{topic_prefix}purged"
    kafka.create_topics({topic: 1})
    settings = KafkaSettings(bootstrap_servers=(kafka.bootstrap,))
    with Producer(kafka.bootstrap) as producer:
        for number in range(3):
            producer.produce(b"%d" % number, topic).result(10)
    for _ in range(2):  # idempotent
        delete_before(settings, {Partition(topic, 0): 2})
    with scan_of(settings, topic) as scan:
        assert scan.held == {Partition(topic, 0): Bounds(2, 3)}
        assert values(scan, scan.held) == [b"2"]


def test_the_embedded_broker_says_that_it_deletes_nothing(tmp_path):
    from agentsched.embedded.kafka import EmbeddedKafka  # noqa: PLC0415

    with EmbeddedKafka({"t": 1}, tmp_path / "kafka.log") as mock:
        settings = KafkaSettings(bootstrap_servers=(mock.bootstrap,))
        with pytest.raises(KafkaFailed, match="deletes no records on request"):
            delete_before(settings, {Partition("t", 0): 1})


@pytest.mark.kafka
def test_what_was_appended_before_a_time_is_left_out(kafka, topic_prefix):
    topic = f"{topic_prefix}timed"
    kafka.create_topics({topic: 1})
    settings = KafkaSettings(bootstrap_servers=(kafka.bootstrap,))
    with Producer(kafka.bootstrap) as producer:
        producer.produce(b"old", topic).result(10)
    with scan_of(settings, topic) as scan:
        (old,) = scan.read(scan.held)
        assert values(scan, scan.since(old.timestamp_ms)) == [b"old"]
        assert values(scan, scan.since(old.timestamp_ms + 1)) == []
        assert values(scan, scan.since(None)) == [b"old"]
