"""The wire format: records <-> requests, replies, dead letters."""

import json

import pytest

from agentsched.codec import (
    Identity,
    dead_letter_record,
    decode_message,
    decode_request,
    encode_message,
    failed_reply,
    reply_record,
)
from agentsched.errors import CodecError, ErrorCode
from agentsched.types import Message, Priority, Reply, ReplyError, TaskType
from tests.support.requests import facts, record

LIMIT = 1_000_000


def test_a_message_survives_the_way_over_the_wire():
    message = Message(
        id="x",
        task_type=TaskType.DATA_PROCESSING,
        priority=Priority.HIGH,
        content=[{"type": "text", "text": "grüß \U0001f600"}],
        correlation_id="c",
    )
    assert decode_message(encode_message(message)) == message


def test_a_record_with_a_status_is_a_reply():
    assert isinstance(decode_message(b'{"status": "completed"}'), Reply)
    assert not isinstance(decode_message(b'{"status": null}'), Reply)


def test_unknown_fields_are_ignored():
    assert decode_message(b'{"id": "x", "of_next_year": 1}').id == "x"


def test_priority_and_task_type_print_as_their_values():
    message = Message(priority="high", task_type="text_generation")
    assert f"{message.priority}_priority" == "high_priority"


def test_a_missing_agent_is_the_default_one():
    _, identity = decode_request(record(body={"id": "x"}), LIMIT)
    assert identity == Identity("default", "x")


def test_the_key_of_an_identity_is_stable_over_processes():
    # It names the request in Redis: another value would lose what is in flight.
    assert Identity("a", "c").key == "2af0794753f8386c5bee5b480644f903"


def test_identities_cannot_be_confused_by_where_they_are_cut():
    assert Identity("ab", "c").key != Identity("a", "bc").key


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, ErrorCode.MALFORMED),
        (b"", ErrorCode.MALFORMED),
        (b"\xff\xfe", ErrorCode.MALFORMED),
        (b"null", ErrorCode.MALFORMED),
        (b'{"id": "x", "token_count": "many"}', ErrorCode.MALFORMED),
        (b'{"id": "x", "ttl_s": -1}', ErrorCode.MALFORMED),
        (b"{}", ErrorCode.MISSING_IDENTITY),
        (b'{"id": "%s"}' % (b"x" * 600), ErrorCode.MALFORMED),
        (b'{"id": "%s"}' % (b"x" * LIMIT), ErrorCode.TOO_LARGE),
    ],
)
def test_what_is_no_request_is_refused_with_a_reason(value, code):
    with pytest.raises(CodecError) as refused:
        decode_request(record(value=value), LIMIT)
    assert refused.value.code is code


def test_a_refusal_names_the_field_and_not_its_value():
    with pytest.raises(CodecError, match="token_count") as refused:
        decode_message(b'{"token_count": "CANARY"}')
    assert "CANARY" not in str(refused.value)


def test_a_failed_reply_echoes_the_labels_and_not_the_prompt():
    request = Message(id="x", session_id="s", content="CANARY", priority="low")
    error = ReplyError(code="UNKNOWN_MODEL", message="no such model")
    body = json.loads(failed_reply(request, Identity("a", "c"), error))
    assert (body["id"], body["session_id"], body["priority"]) == ("x", "s", "low")
    assert (body["status"], body["correlation_id"]) == ("failed", "c")
    assert body["content"] is None


def test_a_reply_is_keyed_and_headed_and_says_what_it_answers():
    sent = reply_record(facts("k", correlation_id="c", offset=7), b"{}")
    assert (sent.topic, sent.key) == ("results", "c")
    assert sent.headers["correlation_id"] == "c"
    assert sent.headers["source_topic"] == "medium_priority"
    assert sent.headers["source_offset"] == "7"
    assert sent.headers["source_topic_id"] == "t1"
    assert sent.headers["agentsched_version"] == "2"


def test_a_dead_letter_keeps_the_record_as_it_was():
    bad = record(3, b"nonsense", headers={"mine": "1"})
    letter = dead_letter_record(
        bad, "medium_priority:t1:0", ErrorCode.MALFORMED, "no JSON"
    )
    assert (letter.topic, letter.value) == ("medium_priority.dead_letter", b"nonsense")
    assert letter.headers["mine"] == "1"
    assert letter.headers["reason"] == "MALFORMED"
    assert letter.headers["source_offset"] == "3"
