"""Which dead letters are meant."""

import pytest

from agentsched.errors import ErrorCode
from agentsched.operations.dead_letters.search import (
    LetterFilter,
    NoSuchPlace,
    letter_topic,
    parse_place,
    short_place,
)
from agentsched.wire.dead_letters import dead_letter_record, read_letter
from agentsched.wire.records import Headers, InboundRecord, RecordAt
from tests.support.requests import record

TOPICS = ("high_priority", "medium_priority", "low_priority", "low_priority_eu")


def letter(code=ErrorCode.MALFORMED, offset=3, timestamp_ms=1000, **body):
    bad = record(7, {"correlation_id": "c"} | body)
    sent = dead_letter_record(bad, "medium_priority:t1:0", code, "why")
    return read_letter(
        InboundRecord(
            sent.topic, 0, offset, timestamp_ms, sent.value, Headers.of(sent.headers)
        )
    )


@pytest.mark.parametrize(
    ("text", "topic", "partition", "offset"),
    [
        ("high_priority.dead_letter:1:12", "high_priority.dead_letter", 1, 12),
        ("high_priority:1:12", "high_priority.dead_letter", 1, 12),
        ("high:1:12", "high_priority.dead_letter", 1, 12),
        ("high:12", "high_priority.dead_letter", 0, 12),
        ("low_priority:0", "low_priority.dead_letter", 0, 0),
    ],
)
def test_a_place_may_be_written_short(text, topic, partition, offset):
    assert parse_place(text, TOPICS) == RecordAt(topic, partition, offset)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("12", "no place"),
        ("high", "no place"),
        ("high:x:1", "no place"),
        ("high:-1", "no place"),
        ("high:1:2:3", "no place"),
        ("nope:0:1", "no input topic"),
        (":0:1", "no input topic"),
        ("low:0:1", "several topics"),
        ("priority:0:1", "several topics"),
    ],
)
def test_a_place_that_is_none_says_what_is_wrong(text, said):
    with pytest.raises(NoSuchPlace, match=said):
        parse_place(text, TOPICS)


def test_what_is_shown_short_can_be_read_again():
    at = RecordAt("high_priority.dead_letter", 0, 7)
    assert parse_place(short_place(at), TOPICS) == at


def test_the_whole_name_of_a_topic_wins_over_a_part_of_another():
    assert letter_topic("low_priority", TOPICS) == "low_priority.dead_letter"


@pytest.mark.parametrize(
    "wanted",
    [
        LetterFilter(),
        LetterFilter(reasons=frozenset({"MALFORMED", "CONFLICT"})),
        LetterFilter(agent_id="a"),
        LetterFilter(correlation_id="c"),
        LetterFilter(since_ms=1000),
        LetterFilter(until_ms=1000),
        LetterFilter(places=frozenset({RecordAt("medium_priority.dead_letter", 0, 3)})),
    ],
)
def test_a_letter_that_fits_is_taken(wanted):
    assert wanted.takes(letter(agent_id="a"))


@pytest.mark.parametrize(
    "wanted",
    [
        LetterFilter(reasons=frozenset({"CONFLICT"})),
        LetterFilter(agent_id="b"),
        LetterFilter(correlation_id="d"),
        LetterFilter(since_ms=1001),
        LetterFilter(until_ms=999),
        LetterFilter(places=frozenset({RecordAt("medium_priority.dead_letter", 0, 4)})),
        LetterFilter(reasons=frozenset({"MALFORMED"}), agent_id="b"),
    ],
)
def test_a_letter_that_does_not_fit_is_not_taken(wanted):
    assert not wanted.takes(letter(agent_id="a"))


def test_a_request_without_agent_is_of_the_default_one():
    assert LetterFilter(agent_id="default").takes(letter())
