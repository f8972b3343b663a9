"""Records that tell of a conflict: written, read, and passed over by who knows none."""

import json

import pytest

from agentsched.errors import CodecError, ErrorCode
from agentsched.wire.codec import Identity, decode_message, decode_request
from agentsched.wire.conflicts import conflict_record, is_conflict, read_conflict
from agentsched.wire.source_record import settled_by
from tests.support.requests import facts, record

HASH = "ab" * 16
SENT = conflict_record(facts("k", reply_topic="mine", offset=7), HASH)


def test_a_conflict_comes_back_from_its_headers():
    found = read_conflict(SENT.headers)
    assert (found.identity, found.payload_hash) == (Identity("agent", "c-k"), HASH)
    assert (SENT.topic, SENT.key) == ("mine", "c-k")


def test_its_value_says_which_request_was_refused_and_what_to_do():
    body = json.loads(SENT.value)
    assert body["conflict"] == {
        "agent_id": "agent",
        "correlation_id": "c-k",
        "payload_hash": HASH,
        "source": {"topic": "medium_priority", "partition": 0, "offset": 7},
    }
    assert body["error"]["code"] == "CONFLICT"
    assert "new correlation_id" in body["error"]["message"]


def test_who_matches_replies_by_their_body_finds_no_ids_in_it():
    body = json.loads(SENT.value)
    assert (body["agent_id"], body["correlation_id"]) == (None, None)


def test_who_decodes_every_record_skips_it_with_a_reason_and_no_content():
    with pytest.raises(CodecError, match="status: Input should be"):
        decode_message(SENT.value)


def test_it_settles_no_offset_of_its_own():
    assert settled_by(SENT.headers) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "chunk"},
        {"agentsched_version": "3"},
        {"payload_hash": ""},
        {"correlation_id": ""},
    ],
)
def test_anything_else_is_no_conflict(changed):
    assert read_conflict({**SENT.headers, **changed}) is None


def test_a_reply_is_none():
    assert not is_conflict({"correlation_id": "c", "payload_hash": HASH})


@pytest.mark.parametrize("headers", [SENT.headers, {}])
def test_on_an_input_topic_it_is_a_dead_letter_and_never_answered(headers):
    with pytest.raises(CodecError) as caught:
        decode_request(record(0, SENT.value, headers=headers), 10_000)
    assert type(caught.value) is CodecError
    assert caught.value.code is ErrorCode.MALFORMED
