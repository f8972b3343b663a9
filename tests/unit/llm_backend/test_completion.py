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


def test_an_error_that_is_null_is_no_failure() -> None:
    body = json.loads(completion(content="x")) | {"error": None}
    assert read_completion(json.dumps(body).encode(), 0).content == "x"
