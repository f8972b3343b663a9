"""A dead letter keeps its record as it was, and can be read again."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsched.errors import ErrorCode
from agentsched.wire.dead_letters import (
    KEPT_BYTES,
    DeadLetter,
    dead_letter_record,
    read_letter,
)
from agentsched.wire.records import Headers, InboundRecord, RecordAt
from agentsched.wire.replays import Replayed, marker_record, read_marker
from agentsched.wire.source_record import settled_by
from tests.support.requests import ARRIVAL_MS, record

BROKERS_LIMIT_BYTES = 1_048_588
"""`message.max.bytes` of a broker that nobody configured."""


def as_read(sent, offset=5, timestamp_ms=ARRIVAL_MS + 7):
    key = sent.key.encode() if isinstance(sent.key, str) else sent.key
    return InboundRecord(
        topic=sent.topic,
        partition=sent.partition or 0,
        offset=offset,
        timestamp_ms=timestamp_ms,
        value=sent.value,
        headers=Headers.of(sent.headers),
        key=key,
    )


def written(bad, code=ErrorCode.MALFORMED):
    return dead_letter_record(bad, "medium_priority:t1:0", code, "no JSON")


def letter_of(bad, code=ErrorCode.MALFORMED):
    letter = read_letter(as_read(written(bad, code)))
    assert isinstance(letter, DeadLetter)
    return letter


def test_it_says_the_reason_and_where_the_record_was():
    letter = letter_of(record(3, b"nonsense"))
    assert (letter.reason, letter.detail) == ("MALFORMED", "no JSON")
    assert letter.at == RecordAt("medium_priority.dead_letter", 0, 5)
    assert letter.source == RecordAt("medium_priority", 0, 3)
    assert (letter.source_timestamp_ms, letter.timestamp_ms) == (
        ARRIVAL_MS,
        ARRIVAL_MS + 7,
    )
    assert letter.is_whole


def test_it_carries_its_version():
    assert written(record()).headers["agentsched_version"] == "2"


def test_one_of_the_version_before_is_read():
    headers = dict(written(record(3)).headers) | {"agentsched_version": "1"}
    del headers["source_topic_id"]
    old = record(7, topic="m.dead_letter", headers=headers)
    assert read_letter(old).source == RecordAt("medium_priority", 0, 3)


@given(
    st.lists(
        st.tuples(
            st.text(max_size=5)
            | st.sampled_from(["reason", "original.reason", "kind", "source_offset"]),
            st.none() | st.binary(max_size=5),
        ),
        max_size=6,
    ),
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=20),
)
def test_headers_key_and_value_come_back_as_they_were(pairs, key, value):
    headers = Headers(pairs)
    bad = record(3, value=value, headers=headers, key=key)
    kept = letter_of(bad).record
    assert (kept.headers.pairs, kept.key, kept.value) == (headers.pairs, key, value)


def test_a_header_that_looks_like_ours_does_not_change_the_reason():
    bad = record(3, b"x", headers={"reason": "NONE", "kind": "replayed"})
    letter = letter_of(bad)
    assert letter.reason == "MALFORMED"
    assert dict(letter.record.headers) == {"reason": "NONE", "kind": "replayed"}


@pytest.mark.parametrize(
    ("value", "key", "headers", "omitted"),
    [
        (2_000_000, 0, 0, {"value_omitted_bytes", "value_hash"}),
        (KEPT_BYTES + 1, 0, 0, {"value_omitted_bytes", "value_hash"}),
        (KEPT_BYTES - 100, 500, 0, {"value_omitted_bytes", "value_hash"}),
        (KEPT_BYTES, 0, 0, set()),
        (1, 40_000, 0, {"key_omitted_bytes"}),
        (1, 0, 40_000, {"headers_omitted"}),
    ],
)
def test_what_is_too_large_for_a_broker_is_left_out_and_said(
    value, key, headers, omitted
):
    more = Headers([("h", b"h" * headers)] if headers else [])
    sent = written(record(3, b"x" * value, headers=more, key=b"k" * key or None))
    letter = read_letter(as_read(sent))
    assert set(letter.omitted) == omitted
    assert letter.value_bytes == value
    size = sum(len(n) + len(v or b"") + 8 for n, v in sent.headers.pairs)
    size += len(sent.value or b"") + len(sent.key or b"")
    assert size < BROKERS_LIMIT_BYTES - 100


def test_a_record_is_known_again_by_its_value():
    bad = record(3, b"x" * 2_000_000)
    letter = letter_of(bad)
    assert letter.is_from(bad)
    assert not letter.is_from(replace(bad, value=b"y" * 2_000_000))


def test_a_marker_says_what_was_replayed_and_where_it_went():
    at, to = RecordAt("m.dead_letter", 2, 7), RecordAt("m", 1, 9)
    marker = marker_record(at, to)
    assert (marker.topic, marker.partition) == ("m.dead_letter", 2)
    assert read_marker(as_read(marker, timestamp_ms=5)) == Replayed(at, to, 5)


def test_a_marker_is_not_taken_for_an_answer():
    marker = marker_record(RecordAt("m.dead_letter", 0, 7), RecordAt("m", 1, 9))
    assert settled_by(marker.headers) is None


def test_a_letter_settles_its_record_whatever_headers_that_had():
    headers = {"kind": "chunk", "reason": "POISON", "source_offset": "9"}
    settled = settled_by(written(record(3, headers=headers)).headers)
    assert (settled.offset, settled.source) == (3, "medium_priority:t1:0")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"reason": "MALFORMED"},
        {"kind": "replayed"},
        {"agentsched_version": "2", "kind": "replayed"},
        dict(written(record()).headers) | {"agentsched_version": "9"},
        dict(written(record()).headers) | {"source_offset": "many"},
    ],
)
def test_what_somebody_else_wrote_is_no_letter(headers):
    other = record(3, json.dumps({}).encode(), headers=Headers.of(headers))
    assert (read_letter(other), read_marker(other)) == (None, None)
