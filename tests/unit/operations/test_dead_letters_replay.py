"""Replaying dead letters: what is sent, what is not, and what is noted."""

import json
from concurrent.futures import Future
from dataclasses import replace

import pytest

from agentsched.errors import DeliveryFailed, ErrorCode
from agentsched.operations.dead_letters.replay import Replayer, ReplayOutcome
from agentsched.wire.dead_letters import DeadLetter, dead_letter_record, read_letter
from agentsched.wire.records import Headers, InboundRecord, RecordAt
from agentsched.wire.replays import Replayed, read_marker
from tests.support.requests import record, settings

REQUEST = {"correlation_id": "c", "content": "x"}
AT = RecordAt("medium_priority.dead_letter", 0, 5)


def letter_of(bad, code=ErrorCode.CONFLICT):
    sent = dead_letter_record(bad, "medium_priority:t1:0", code, "why")
    letter = read_letter(
        InboundRecord(
            AT.topic,
            AT.partition,
            AT.offset,
            2_000,
            sent.value,
            Headers.of(sent.headers),
            key=sent.key,
        )
    )
    assert isinstance(letter, DeadLetter)
    return letter


class Sink:
    """Acknowledges every record at once, or refuses it."""

    def __init__(self):
        self.sent = []
        self.error = None

    def send(self, record):
        self.sent.append(record)
        delivery = Future()
        if self.error:
            delivery.set_exception(self.error)
        else:
            delivery.set_result(RecordAt(record.topic, 0, 100 + len(self.sent)))
        return delivery

    def flush(self, timeout_s):
        return 0

    def close(self, timeout_s):
        pass


class Desk:
    """A replayer, the records that it sent, and what Kafka still has."""

    def __init__(self, **changes):
        self.sink = Sink()
        self.kept = {}
        self.replayer = Replayer(settings(**changes), self.kept.get, self.sink)

    def replay(self, *letters):
        return list(self.replayer.replay(letters))

    def dry(self):
        self.replayer = replace(self.replayer, sink=None)
        return self


@pytest.fixture
def desk():
    return Desk()


def test_a_record_that_was_never_answered_is_sent_as_it_was(desk):
    headers = Headers([("a", b"\xff"), ("reason", b"mine"), ("a", b"2")])
    bad = record(3, REQUEST, headers=headers, key=b"k")
    (done,) = desk.replay(letter_of(bad))
    sent = desk.sink.sent[0]
    assert (sent.topic, sent.key, sent.value) == ("medium_priority", b"k", bad.value)
    assert sent.headers.pairs[:-1] == headers.pairs
    assert (done.outcome, done.correlation_id) == (ReplayOutcome.REPLAYED, "c")


def test_a_replayed_record_says_which_letter_it_was(desk):
    desk.replay(letter_of(record(3, REQUEST, headers={"replay_of": "former"})))
    headers = desk.sink.sent[0].headers.pairs
    assert headers == (("replay_of", b"medium_priority.dead_letter:0:5"),)


def test_a_replay_is_noted_behind_the_letter(desk):
    (done,) = desk.replay(letter_of(record(3, REQUEST)))
    marker = desk.sink.sent[1]
    read = read_marker(
        InboundRecord(marker.topic, 0, 9, 3_000, None, Headers.of(marker.headers))
    )
    assert read == Replayed(AT, done.to, 3_000)


def test_one_that_was_answered_gets_a_new_identity_and_keeps_the_rest(desk):
    body = REQUEST | {"agent_id": "a", "params": {"top_p": 1}}
    bad = record(3, body, headers={"correlation_id": "c"}, key=b"c")
    (done,) = desk.replay(letter_of(bad, ErrorCode.POISON))
    sent = desk.sink.sent[0]
    new = json.loads(sent.value)
    assert new.pop("correlation_id") == done.correlation_id != "c"
    assert new == {k: v for k, v in json.loads(bad.value).items() if k in new}
    assert sent.headers["correlation_id"] == done.correlation_id
    assert sent.headers["replay_of_correlation_id"] == "c"
    assert sent.key == done.correlation_id.encode()


def test_its_new_identity_is_the_same_however_often_it_is_replayed(desk):
    letter = letter_of(record(3, REQUEST), ErrorCode.POISON)
    first, second = desk.replay(letter, letter)
    other = replace(letter, at=replace(AT, offset=6))
    (third,) = desk.replay(other)
    assert first.correlation_id == second.correlation_id != third.correlation_id


def test_a_dry_run_sends_nothing(desk):
    (done,) = desk.dry().replay(letter_of(record(3, REQUEST)))
    assert (done.outcome, desk.sink.sent) == (ReplayOutcome.WOULD_BE, [])


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"no json", "MALFORMED"),
        (b"{}", "MISSING_IDENTITY"),
        (b'{"id": "x"}'.ljust(2_000), "TOO_LARGE"),
    ],
)
def test_what_would_come_back_is_not_sent(value, code):
    desk = Desk(limits={"request_max_bytes": 1_024})
    (done,) = desk.replay(letter_of(record(3, value)))
    assert (done.outcome, desk.sink.sent) == (ReplayOutcome.REFUSED, [])
    assert f"come back as {code}" in done.why


def test_what_is_too_large_says_which_limit_to_raise():
    desk = Desk(limits={"request_max_bytes": 1_024})
    (done,) = desk.replay(letter_of(record(3, b'{"id": "x"}'.ljust(2_000))))
    assert done.why.endswith("raise limits.request_max_bytes")


def test_a_request_whose_sender_can_be_told_is_sent(desk):
    (done,) = desk.replay(letter_of(record(3, REQUEST | {"ttl_s": 0})))
    assert done.outcome is ReplayOutcome.REPLAYED


def test_a_topic_that_no_bridge_reads_is_named():
    desk = Desk(kafka={"input_topics": ["other"]})
    (done,) = desk.replay(letter_of(record(3, REQUEST)))
    assert done.why == "no bridge reads medium_priority (kafka.input_topics)"


def test_what_was_too_large_to_keep_is_read_where_it_stood(desk):
    large = record(3, REQUEST | {"padding": "p" * 1_000_000}, headers={"h": "1"})
    desk.kept[RecordAt("medium_priority", 0, 3)] = large
    (done,) = desk.replay(letter_of(large))
    sent = desk.sink.sent[0]
    assert done.outcome is ReplayOutcome.REPLAYED
    assert (sent.value, sent.headers["h"]) == (large.value, "1")


def test_where_it_is_gone_that_is_said(desk):
    large = record(3, REQUEST | {"padding": "p" * 1_000_000})
    (done,) = desk.replay(letter_of(large))
    assert done.outcome is ReplayOutcome.REFUSED
    assert "the record at medium_priority:0:3 is gone" in done.why


def test_another_record_at_its_place_is_not_taken_for_it(desk):
    large = record(3, REQUEST | {"padding": "p" * 1_000_000})
    desk.kept[RecordAt("medium_priority", 0, 3)] = record(3, REQUEST)
    (done,) = desk.replay(letter_of(large))
    assert (done.outcome, desk.sink.sent) == (ReplayOutcome.REFUSED, [])


def test_what_kafka_does_not_take_is_not_noted(desk):
    desk.sink.error = DeliveryFailed("kafka is silent")
    (done,) = desk.replay(letter_of(record(3, REQUEST)))
    assert (done.outcome, done.why) == (ReplayOutcome.FAILED, "kafka is silent")
    assert [each.topic for each in desk.sink.sent] == ["medium_priority"]


def test_one_that_fails_holds_up_no_other(desk):
    bad, good = letter_of(record(3, b"no json")), letter_of(record(4, REQUEST))
    outcomes = [each.outcome for each in desk.replay(bad, good)]
    assert outcomes == [ReplayOutcome.REFUSED, ReplayOutcome.REPLAYED]


def test_what_is_handed_back_has_no_content(desk):
    (done,) = desk.replay(letter_of(record(3, REQUEST, headers={"h": "1"}, key=b"k")))
    kept = done.letter.record
    assert (kept.value, kept.key, dict(kept.headers)) == (None, None, {})
