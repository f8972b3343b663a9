"""The wire format: records <-> requests, replies, dead letters."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentsched.errors import CodecError, ErrorCode
from agentsched.types import Message, Priority, Reply, ReplyError, TaskType
from agentsched.wire.codec import (
    AnswerableError,
    Identity,
    decode_cancel,
    decode_message,
    decode_request,
    encode_message,
    labels_of,
)
from agentsched.wire.replies import failed_reply
from tests.support.bad_input import ANSWERED, DEAD, NULLABLE, UNUSUAL
from tests.support.requests import record

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


@pytest.mark.parametrize("bad", [*DEAD, *ANSWERED], ids=str)
def test_what_is_no_request_is_refused_with_a_reason(bad):
    inbound = record(value=bad.value, headers=bad.headers)
    if bad.code not in {*(each.code for each in DEAD), "INVALID_REQUEST"}:
        decode_request(inbound, LIMIT)  # what it lacks is for the bridge to say
        return
    with pytest.raises(CodecError) as refused:
        decode_request(inbound, LIMIT)
    assert refused.value.code == bad.code


@pytest.mark.parametrize("good", UNUSUAL, ids=str)
def test_what_only_looks_odd_is_a_request(good):
    _, identity = decode_request(record(value=good.value, headers=good.headers), LIMIT)
    assert identity.correlation_id == good.name


def test_every_field_but_the_content_may_be_null():
    named = {"correlation_id", "content"}
    assert Message.model_fields.keys() - named == set(NULLABLE)


def test_an_id_that_is_no_text_is_told_to_whom_the_header_names():
    inbound = record(
        value=b'{"correlation_id": 7, "agent_id": "a", "id": "x"}',
        headers={"correlation_id": "c", "agent_id": "another"},
    )
    with pytest.raises(AnswerableError) as refused:
        decode_request(inbound, LIMIT)
    assert refused.value.identity == Identity("a", "c")
    assert refused.value.detail == "correlation_id: must be text"
    assert refused.value.labels.id == "x"


def test_a_cancel_whose_id_is_no_text_cancels_nothing():
    headers = {"kind": "cancel", "correlation_id": "c"}
    with pytest.raises(CodecError, match="must be text"):
        decode_cancel(record(value=b'{"correlation_id": 7}', headers=headers), LIMIT)


def test_a_record_whose_headers_cannot_be_read_is_no_request():
    # Its `kind`, which may be there, cannot be seen.
    inbound = record(value=b'{"id": "x"}', problem="its headers cannot be read")
    for decode in (decode_request, decode_cancel):
        with pytest.raises(CodecError, match="headers cannot be read") as refused:
            decode(inbound, LIMIT)
        assert not isinstance(refused.value, AnswerableError)
        assert refused.value.code is ErrorCode.MALFORMED


def test_a_record_of_the_largest_size_is_read():
    value = b'{"id": "x", "content": "x"}'.ljust(LIMIT)
    assert decode_request(record(value=value), LIMIT)[0].id == "x"


def test_one_byte_more_is_too_large():
    value = b'{"id": "x", "content": "x"}'.ljust(LIMIT + 1)
    with pytest.raises(CodecError) as refused:
        decode_request(record(value=value), LIMIT)
    assert refused.value.code is ErrorCode.TOO_LARGE


def test_an_invalid_request_keeps_what_a_reply_echoes_as_far_as_it_is_valid():
    body = {"agent_id": "a", "id": "x", "session_id": "s", "params": 1, "ttl_s": 0}
    wrong = {"model_id": 4, "agent_group": "a\nb", "priority": "low"}
    with pytest.raises(AnswerableError) as refused:
        decode_request(record(body=body | wrong), LIMIT)
    assert refused.value.identity == Identity("a", "x")
    assert refused.value.labels == Message(id="x", session_id="s", priority="low")


def test_a_refusal_says_for_each_field_what_it_must_be():
    body = {"ttl_s": 0, "task_type": "CANARY", "messages": [{}]}
    with pytest.raises(AnswerableError) as refused:
        decode_request(record(body=body), LIMIT)
    assert refused.value.detail == (
        "messages: each must have a role, such as user;"
        " task_type: Input should be 'text_generation', 'image_analysis' or"
        " 'data_processing'; ttl_s: Input should be greater than 0"
    )


FIELDS = st.dictionaries(
    st.sampled_from([*Message.model_fields, "other"]),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(st.characters(codec=None))
        | st.sampled_from(["completed", "high", "text_generation", "a"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["role", "type", "x"]) | st.text(), inner, max_size=3
            )
        ),
        max_leaves=8,
    ),
)


@given(
    st.binary() | FIELDS.map(lambda fields: json.dumps(fields).encode()),
    st.dictionaries(
        st.sampled_from(["correlation_id", "agent_id", "kind"]), st.text(max_size=5)
    ),
)
@example(b'{"id": "x", "ttl_s": ' + b"9" * 300 + b"}", {})
@example(b'{"id": "x", "token_count": 1e300}', {})
def test_any_record_is_a_request_or_a_codec_error(value, headers):
    try:
        message, identity = decode_request(record(value=value, headers=headers), LIMIT)
    except AnswerableError as refused:
        message, identity = refused.labels, refused.identity
    except CodecError:
        return
    error = ReplyError(code="INVALID_REQUEST", message="")
    reply = decode_message(failed_reply(message, identity, error))
    assert (reply.agent_id, reply.correlation_id) == (
        identity.agent_id,
        identity.correlation_id,
    )
    assert decode_message(encode_message(message)) == message


@given(st.binary())
def test_the_labels_of_any_value_can_be_read(value):
    assert isinstance(labels_of(value), Message)


def test_a_refusal_names_the_field_and_not_its_value():
    with pytest.raises(CodecError, match="token_count") as refused:
        decode_message(b'{"token_count": "CANARY"}')
    assert "CANARY" not in str(refused.value)
