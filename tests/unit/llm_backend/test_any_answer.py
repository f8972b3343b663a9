"""Whatever a server sends after a paid call: a reply that our own client can read.

Cases E (async-openai #404) and F: nothing may raise after the call, and no reply may be
stored that nobody can decode.
"""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentsched.errors import CallFailed
from agentsched.llm_backend.completion import MAX_USAGE_BYTES, read_completion
from agentsched.types import Message, Reply, TaskStatus
from agentsched.wire.codec import decode_message
from agentsched.worker.call_result import Job, completed_result, failed_result
from tests.support.requests import facts

MAX_REPLY_BYTES = 1_048_576
JOB = Job(
    facts=facts("k", correlation_id="c"),
    payload_hash="ab12",
    request=Message(id="x", content="hi"),
    model="m",
    endpoint="e",
    attempt=1,
    queued_s=0.1,
    deadline=10.0,
    asked_at=0.0,
)


def good(**changes: Any) -> dict[str, Any]:
    """GOOD of the cases; a change of a nested field is written `message__content`."""
    message: dict[str, Any] = {"role": "assistant", "content": "four"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    answer: dict[str, Any] = {"choices": [choice], "usage": usage}
    for name, value in changes.items():
        where, _, field = name.rpartition("__")
        {"": answer, "choice": choice, "message": message, "usage": usage}[where][
            field
        ] = value
    return answer


def reply_to(body: bytes) -> Reply:
    """What a client of ours reads, whatever came."""
    try:
        completion = read_completion(body, 0.5)
    except CallFailed as failure:
        value = failed_result(JOB, failure, model_s=0.5).value
    else:
        value = completed_result(JOB, completion, MAX_REPLY_BYTES).value
    reply = decode_message(value)
    assert isinstance(reply, Reply)
    return reply


def reply_of(**changes: Any) -> Reply:
    return reply_to(json.dumps(good(**changes)).encode())


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
"""With half surrogate pairs."""
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 10**309, float("nan"), float("-inf")])
    | st.floats()
    | ANY_TEXT
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3)
    ),
    max_leaves=8,
)
PARTS = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["text", "thinking", "reasoning", "image"])
            | ANYTHING
        },
        optional={"text": ANYTHING, "thinking": ANYTHING, "summary": ANYTHING},
    ),
    max_size=3,
)
CALLS = st.lists(
    st.dictionaries(st.sampled_from(["id", "type", "function"]), ANYTHING), max_size=2
)
FIELDS = {
    "message__content": ANYTHING | PARTS,
    "message__refusal": ANYTHING,
    "message__tool_calls": ANYTHING | CALLS,
    "message__function_call": ANYTHING,
    "message__reasoning_content": ANYTHING,
    "message__reasoning": ANYTHING,
    "message__reasoning_details": ANYTHING | PARTS,
    "message__error": ANYTHING,
    "choice__message": ANYTHING,
    "choice__finish_reason": ANYTHING,
    "choice__error": ANYTHING,
    "choice__index": ANYTHING,
    "choice__logprobs": ANYTHING,
    "choices": ANYTHING,
    "usage": ANYTHING,
    "usage__completion_tokens": ANYTHING,
    "usage__prompt_tokens_details": ANYTHING,
    "error": ANYTHING,
    "error_type": ANYTHING,
    "errors": ANYTHING,
    "object": ANYTHING,
    "type": ANYTHING,
    "id": ANYTHING,
    "model": ANYTHING,
    "created": ANYTHING,
}


@given(st.fixed_dictionaries({}, optional=FIELDS))
def test_any_fields_beside_and_in_a_good_answer(changes):
    reply_of(**changes)


@given(ANYTHING)
def test_any_json(value):
    assert reply_to(json.dumps(value).encode()).status is TaskStatus.FAILED


@given(st.binary())
@example(b"\xff\xfe")
@example(b"[" * 100_000)
@example(b'{"choices":' + b"[" * 900 + b"]" * 900 + b"}")
def test_any_bytes(body):
    assert reply_to(body).status is TaskStatus.FAILED


@pytest.mark.parametrize(
    "count",
    [
        -35,
        -1,
        10**10,
        10**400,
        4.5,
        1e300,
        float("nan"),
        float("inf"),
        True,
        "4",
        "",
        [],
        {},
        [4],
        {"a": 4},
        None,
    ],
    ids=lambda count: repr(count)[:20],
)
def test_what_is_no_count_of_tokens_costs_no_answer(count):
    """Case E: async-openai #404."""
    reply = reply_of(usage__completion_tokens=count)
    assert (reply.status, reply.content) == (TaskStatus.COMPLETED, "four")
    assert reply.token_count is None


@pytest.mark.parametrize(
    "number",
    [b"1e400", b"-1e400", b"9" * 400, b"9" * 5_000, b"-Infinity"],
    ids=["1e400", "-1e400", "400 digits", "5,000 digits", "-Infinity"],
)
def test_a_number_that_nobody_can_hold_costs_no_answer(number):
    body = json.dumps(good(usage__completion_tokens="N")).encode()
    reply = reply_to(body.replace(b'"N"', number))
    assert (reply.content, reply.token_count) == ("four", None)


@pytest.mark.parametrize(("count", "read"), [(0, 0), (4, 4), (4.0, 4), (10**9, 10**9)])
def test_a_count_is_read(count, read):
    assert reply_of(usage__completion_tokens=count).token_count == read


@pytest.mark.parametrize("usage", [None, [], "x", 7, True, [{"completion_tokens": 4}]])
def test_a_usage_that_is_none_costs_no_answer(usage):
    reply = reply_of(usage=usage)
    assert (reply.content, reply.usage, reply.token_count) == ("four", None, None)


@pytest.mark.parametrize("levels", [1, 60, 64, 65, 97, 98, 99, 100, 150, 300])
def test_a_usage_nested_however_deep_costs_no_answer(levels):
    """Case F: our own client could not read a reply with 99 levels."""
    reply = reply_of(usage__details=nested(levels))
    assert (reply.content, reply.token_count) == ("four", 4)
    assert reply.usage["total_tokens"] == 7


def test_a_usage_too_deep_to_be_parsed_is_a_typed_failure():
    body = json.dumps(good(usage="USAGE")).encode()
    reply = reply_to(body.replace(b'"USAGE"', b"[" * 20_000 + b"]" * 20_000))
    assert (reply.error.code, reply.error.retryable) == ("UPSTREAM_INVALID", False)


@pytest.mark.parametrize("levels", [5, 64, 300, 700])
@pytest.mark.parametrize(
    "field",
    [
        "error",
        "errors",
        "error_type",
        "object",
        "choice__error",
        "choice__finish_reason",
        "choice__logprobs",
        "message__content",
        "message__refusal",
        "message__tool_calls",
        "message__function_call",
        "message__reasoning",
        "message__error",
        "usage",
        "usage__completion_tokens",
        "id",
    ],
)
def test_any_field_may_be_nested_however_deep(field, levels):
    deep = nested(levels)
    for value in (deep, [deep], dict.fromkeys(("code", "message", "status"), deep)):
        reply_of(**{field: value})


def test_of_an_enormous_usage_only_the_sums_are_kept():
    reply = reply_of(usage__notes="x" * MAX_USAGE_BYTES)
    assert reply.usage == {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
    }


def test_a_call_too_deep_for_a_reply_is_not_cut():
    call = {"type": "function", "function": {"name": "f", "arguments": nested(99)}}
    assert reply_of(message__tool_calls=[call]).error.code == "UPSTREAM_INVALID"


def test_half_a_surrogate_pair_is_replaced_wherever_it_stands():
    half = "a\ud800"
    call = {"id": half, "function": {"name": half, "arguments": {half: half}}}
    reply = reply_of(
        message__content=half,
        message__reasoning=half,
        message__tool_calls=[call],
        choice__finish_reason=half,
        usage__note={half: half},
    )
    whole = "a\N{REPLACEMENT CHARACTER}"
    assert (reply.content, reply.reasoning, reply.finish_reason) == (whole,) * 3
    assert reply.tool_calls[0]["function"]["arguments"] == {whole: whole}
    assert reply.usage["note"] == {whole: whole}


def test_bytes_that_are_no_utf_8_cost_no_answer():
    body = json.dumps(good(message__content="caf?")).encode().replace(b"f?", b"f\xe9")
    assert reply_to(body).content == "caf\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    "frame",
    [b"\xef\xbb\xbf%s", b"\r\n\r\n  %s\n\n", b"\n%s"],
    ids=["BOM", "blank lines", "line"],
)
def test_what_stands_around_the_json_costs_no_answer(frame):
    assert reply_to(frame % json.dumps(good()).encode()).content == "four"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_other_encodings_of_unicode_cost_no_answer(encoding):
    assert reply_to(json.dumps(good()).encode(encoding)).content == "four"


def test_a_line_break_within_text_costs_no_answer():
    body = json.dumps(good(message__content="a#b")).encode().replace(b"#", b"\n")
    assert reply_to(body).content == "a\nb"


def test_thoughts_too_long_for_a_reply_cost_no_answer():
    reply = reply_of(message__reasoning_content="x" * MAX_REPLY_BYTES)
    assert (reply.content, reply.reasoning) == ("four", None)


@pytest.mark.parametrize("reason", ["x" * 100_000, 7, ["stop"], {"type": 7}, True])
def test_an_odd_finish_reason_costs_no_answer(reason):
    reply = reply_of(choice__finish_reason=reason)
    assert (reply.content, reply.finish_reason) == ("four", None)


def test_a_finish_reason_as_an_object_is_read():
    reply = reply_of(choice__finish_reason={"type": "stop", "matched": 2})
    assert reply.finish_reason == "stop"
