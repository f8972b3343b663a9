"""What a 200 may hold."""

import json
from typing import Any

import pytest

from agentsched.errors import CallFailed, ErrorCode
from agentsched.llm_backend.completion import read_completion

CALLS = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{"}}]


def completion(**message: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": {"completion_tokens": 2}}).encode()


def test_text_is_read() -> None:
    answer = read_completion(completion(content="four"), 0.5)
    assert (answer.content, answer.model_s, answer.completion_tokens) == (
        "four",
        0.5,
        2,
    )


def test_tool_calls_come_without_content() -> None:
    answer = read_completion(completion(content=None, tool_calls=CALLS), 0)
    assert (answer.content, answer.tool_calls) == (None, CALLS)


def test_no_tool_calls_are_none() -> None:
    assert read_completion(completion(content="x", tool_calls=[]), 0).tool_calls is None


def test_a_refusal_is_an_answer() -> None:
    answer = read_completion(completion(content=None, refusal="I cannot"), 0)
    assert answer.content == "I cannot"


def test_usage_may_be_missing() -> None:
    body = (
        b'{"choices":[{"message":{"content":"x"},"finish_reason":null}],"usage":null}'
    )
    answer = read_completion(body, 0)
    assert (answer.usage, answer.completion_tokens, answer.finish_reason) == (
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b"[" * 100_000,
        b"null",
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":{}}',
        b'{"choices":[null]}',
        b'{"choices":[{}]}',
        b'{"choices":[{"message":"x"}]}',
        b'{"choices":[{"message":{"content":7}}]}',
        b'{"choices":[{"message":{"content":null,"tool_calls":"x"}}]}',
    ],
)
def test_what_is_no_completion_is_invalid(body: bytes) -> None:
    with pytest.raises(CallFailed) as caught:
        read_completion(body, 0)
    assert caught.value.code is ErrorCode.UPSTREAM_INVALID


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": 429, "message": "x"}, ErrorCode.MODEL_UNAVAILABLE),
        ({"code": "context_length_exceeded"}, ErrorCode.MODEL_REJECTED),
        ({"type": "invalid_api_key"}, ErrorCode.MODEL_MISCONFIGURED),
        ({"message": "boom"}, ErrorCode.MODEL_UNAVAILABLE),
        ("Unauthorized", ErrorCode.MODEL_UNAVAILABLE),
    ],
)
def test_an_error_inside_a_200_is_a_failure(error: object, code: ErrorCode) -> None:
    with pytest.raises(CallFailed) as caught:
        read_completion(json.dumps({"error": error}).encode(), 0)
    assert caught.value.code is code


def failure_of(body: dict[str, Any]) -> tuple[ErrorCode, bool, str]:
    with pytest.raises(CallFailed) as caught:
        read_completion(json.dumps(body).encode(), 0)
    return caught.value.code, caught.value.retryable, caught.value.detail


def good(**choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "SECRET half a te"}
    return {"choices": [{"message": message, "finish_reason": "stop"} | choice]}


@pytest.mark.parametrize(
    "choice",
    [
        {"finish_reason": "error", "error": {"code": 502, "message": "SECRET"}},
        {"finish_reason": "error", "error": {"code": "502"}},
        {"finish_reason": "error"},
        {"finish_reason": "ERROR"},
        {"finish_reason": "ERROR_LIMIT"},
        {"finish_reason": "abort"},
        {"finish_reason": {"type": "abort", "message": "SECRET"}},
        {"finish_reason": "stop", "error": {"message": "SECRET"}},
        {"finish_reason": None, "error": "SECRET"},
        {"finish_reason": "length", "error": {"type": "server_error"}},
        {"message": {"content": "SECRET ha", "error": {"message": "SECRET"}}},
    ],
    ids=str,
)
def test_an_answer_that_ended_in_an_error_is_none(choice: dict[str, Any]) -> None:
    """Case D: agent-framework, genkit PR 6259."""
    code, retryable, detail = failure_of(good(**choice))
    assert (code, retryable) == (ErrorCode.MODEL_UNAVAILABLE, True)
    assert "SECRET" not in detail


def test_an_error_in_a_choice_may_be_the_requests_fault() -> None:
    refused = {"error": {"code": "context_length_exceeded"}, "finish_reason": "error"}
    assert failure_of(good(**refused))[:2] == (ErrorCode.MODEL_REJECTED, False)


BLANK = [
    {"message": "", "type": "", "param": "", "code": None},
    {"message": " ", "details": {"code": None, "of": []}},
    {"message": "", "code": 0},
    {"message": None, "code": 200},
    {},
    [],
    "",
    False,
    0,
]


@pytest.mark.parametrize("error", BLANK, ids=str)
def test_an_error_that_says_nothing_is_none(error: object) -> None:
    """Case K: litellm #18407."""
    for body in (good() | {"error": error}, good(error=error)):
        answer = read_completion(json.dumps(body).encode(), 0)
        assert answer.content == "SECRET half a te"


@pytest.mark.parametrize("error", BLANK, ids=str)
def test_an_error_that_says_nothing_is_no_answer_either(error: object) -> None:
    assert failure_of({"error": error})[0] is ErrorCode.UPSTREAM_INVALID


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (
            {
                "error": "Input validation error: `inputs` SECRET",
                "error_type": "validation",
            },
            ErrorCode.MODEL_REJECTED,
        ),
        ({"error": "Input validation error: SECRET"}, ErrorCode.MODEL_REJECTED),
        ({"error": "SECRET", "error_type": "validation"}, ErrorCode.MODEL_REJECTED),
        ({"error": "SECRET", "error_type": "overloaded"}, ErrorCode.MODEL_UNAVAILABLE),
        ({"error": "SECRET", "error_type": "generation"}, ErrorCode.MODEL_UNAVAILABLE),
        (
            {"error": {"message": "maximum context length is 5"}},
            ErrorCode.MODEL_REJECTED,
        ),
        ({"error": {"code": "429"}}, ErrorCode.MODEL_UNAVAILABLE),
        ({"error": {"code": 20015, "message": "SECRET"}}, ErrorCode.MODEL_UNAVAILABLE),
        (
            {"type": "error", "error": {"type": "invalid_request_error"}},
            ErrorCode.MODEL_REJECTED,
        ),
        ({"object": "error", "code": 400}, ErrorCode.MODEL_REJECTED),
        ([{"error": {"status": "INVALID_ARGUMENT"}}], ErrorCode.MODEL_REJECTED),
        (
            {"success": False, "errors": [{"code": 7003, "message": "SECRET"}]},
            ErrorCode.MODEL_UNAVAILABLE,
        ),
        ({"error": {"code": "insufficient_quota"}}, ErrorCode.MODEL_MISCONFIGURED),
    ],
    ids=str,
)
def test_an_error_in_a_200_is_what_it_says(body: Any, code: ErrorCode) -> None:
    """Case N: TGI #2749."""
    found, retryable, detail = failure_of(body)
    assert (found, retryable) == (code, code is ErrorCode.MODEL_UNAVAILABLE)
    assert "SECRET" not in detail


def test_an_error_beside_an_answer_wins() -> None:
    both = good() | {"error": {"message": "the upstream broke off"}}
    assert failure_of(both)[0] is ErrorCode.MODEL_UNAVAILABLE


THINKING = {"type": "thinking", "thinking": "2 and 2"}
TEXT = {"type": "text", "text": "four"}


@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        ([THINKING, TEXT], "four", "2 and 2"),
        ([TEXT], "four", None),
        ([TEXT, TEXT], "fourfour", None),
        ([THINKING], None, "2 and 2"),
        (
            [{"type": "thinking", "thinking": [{"type": "text", "text": "2"}]}, TEXT],
            "four",
            "2",
        ),
        ([{"type": "reasoning", "text": "2"}, TEXT], "four", "2"),
        ([{"type": "reasoning", "summary": [{"text": "2"}]}, TEXT], "four", "2"),
        ([{"type": "output_text", "text": "four"}], "four", None),
        ([{"type": "text", "text": {"value": "four"}}], "four", None),
        ([{"type": "refusal", "refusal": "no"}], "no", None),
        (["four"], "four", None),
        (TEXT, "four", None),
        ([TEXT, {"type": "image_url", "image_url": {"url": "x"}}], "four", None),
        ([], None, None),
        ([{"type": "redacted_thinking", "data": "x"}, TEXT], "four", None),
    ],
    ids=str,
)
def test_content_may_be_parts(
    content: object, text: str | None, reasoning: str | None
) -> None:
    """Case M: agent-framework #6978."""
    answer = read_completion(completion(content=content), 0)
    assert (answer.content, answer.reasoning) == (text, reasoning)


@pytest.mark.parametrize("content", [[{"type": "image_url"}], [7], [None], 7, True])
def test_content_without_any_text_is_paid_once(content: object) -> None:
    body = json.loads(completion(content=content))
    assert failure_of(body)[:2] == (ErrorCode.UPSTREAM_INVALID, False)


@pytest.mark.parametrize("content", [[{"type": "tool_use", "id": "1"}], 7, [None]])
def test_calls_are_an_answer_whatever_stands_in_content(content: object) -> None:
    answer = read_completion(completion(content=content, tool_calls=CALLS), 0)
    assert (answer.content, answer.tool_calls) == (None, CALLS)


@pytest.mark.parametrize(
    "thought",
    [
        {"reasoning_content": "2 and 2"},
        {"reasoning": "2 and 2"},
        {"reasoning_content": None, "reasoning": "2 and 2"},
        {"reasoning_content": "2 and 2", "reasoning": "2 and 2"},
        {"thinking": "2 and 2"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "2 and 2"}]},
        {"reasoning": {"content": "x", "text": "2 and 2"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("content", [None, "", "four"])
def test_thoughts_have_a_field_of_their_own(
    thought: dict[str, Any], content: str | None
) -> None:
    """Case S: litellm #38199."""
    answer = read_completion(completion(content=content, **thought), 0)
    assert (answer.content, answer.reasoning) == (content, "2 and 2")


def test_a_call_of_the_older_form_is_handed_on() -> None:
    """Case T: instructor #2464."""
    call = {"name": "f", "arguments": '{"a": 1}'}
    body = good(message={"content": None, "function_call": call})
    body["choices"][0]["finish_reason"] = "function_call"
    answer = read_completion(json.dumps(body).encode(), 0)
    assert (answer.function_call, answer.tool_calls) == (call, None)


@pytest.mark.parametrize("reason", ["tool_calls", "function_call"])
@pytest.mark.parametrize("calls", [[], None, {}])
@pytest.mark.parametrize("content", [None, "", []])
def test_calls_that_are_announced_and_not_there_are_told(
    reason: str, calls: object, content: object
) -> None:
    """Case T: instructor #2464."""
    message = {"content": content, "tool_calls": calls, "function_call": None}
    code, retryable, detail = failure_of(good(message=message, finish_reason=reason))
    assert (code, retryable) == (ErrorCode.UPSTREAM_INVALID, True)
    assert reason in detail


def test_text_in_place_of_an_announced_call_is_an_answer() -> None:
    body = good(message={"content": "f(1)", "tool_calls": []})
    body["choices"][0]["finish_reason"] = "tool_calls"
    answer = read_completion(json.dumps(body).encode(), 0)
    assert (answer.content, answer.finish_reason) == ("f(1)", "tool_calls")


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206])
def test_a_completion_may_come_with_any_2xx(status: int) -> None:
    """Case L: codicil PR 4."""
    assert read_completion(completion(content="four"), 0, status).content == "four"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (202, b'{"id":"job-1","status":"queued"}'),
        (204, b""),
        (200, b'data: {"choices":[]}\n\ndata: [DONE]\n\n'),
        (200, b": OPENROUTER PROCESSING\n\ndata: {}\n\n"),
        (200, b"event: message\ndata: {}\n\n"),
        (200, b'{"message":{"content":"fo"}}\n{"done":true}\n'),
    ],
    ids=str,
)
def test_what_would_come_again_is_paid_once(status: int, body: bytes) -> None:
    """Cases L and U: codicil PR 4, Open-WebUI-Functions #54."""
    with pytest.raises(CallFailed) as caught:
        read_completion(body, 0, status)
    assert caught.value.code is ErrorCode.UPSTREAM_INVALID
    assert not caught.value.retryable
    assert f"HTTP {status} with " in caught.value.detail


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"data: {}\n\n", "a stream of events although `stream` is false"),
        (b"\n <!DOCTYPE html>", "does `base_url` lead to the /v1"),
        (b"", "an empty body"),
        (b"Internal error", "no JSON"),
        (b'{"choices": [{"delta": {}}]}', "a choice without a message"),
    ],
    ids=str,
)
def test_what_came_instead_is_said(body: bytes, words: str) -> None:
    """Case U: Open-WebUI-Functions #54."""
    with pytest.raises(CallFailed) as caught:
        read_completion(body, 0)
    assert words in caught.value.detail


def test_an_error_that_is_null_is_no_failure() -> None:
    body = json.loads(completion(content="x")) | {"error": None}
    assert read_completion(json.dumps(body).encode(), 0).content == "x"
