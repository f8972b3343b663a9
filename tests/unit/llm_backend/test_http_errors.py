"""What a refusal means; the bodies are those that the servers send."""

import json

import pytest

from agentsched.errors import ErrorCode
from agentsched.llm_backend.http_errors import fault_of_status

UNAVAILABLE = (ErrorCode.MODEL_UNAVAILABLE, True)
REJECTED = (ErrorCode.MODEL_REJECTED, False)
MISCONFIGURED = (ErrorCode.MODEL_MISCONFIGURED, False)


def openai(**error: object) -> str:
    return json.dumps({"error": {"message": "secret", **error}})


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (400, openai(code="context_length_exceeded"), REJECTED),
        (400, openai(code="content_filter"), REJECTED),
        (401, openai(code="invalid_api_key"), MISCONFIGURED),
        (401, '{"error":"Unauthorized"}', MISCONFIGURED),
        (402, openai(type="billing_error"), MISCONFIGURED),
        (403, "", MISCONFIGURED),
        (404, openai(code="model_not_found"), MISCONFIGURED),
        (408, "", UNAVAILABLE),
        (409, "", UNAVAILABLE),
        (413, "<html>", REJECTED),
        (422, "{}", REJECTED),
        (429, openai(code="rate_limit_exceeded"), UNAVAILABLE),
        (429, openai(type="insufficient_quota"), MISCONFIGURED),
        (
            429,
            openai(details={"error_code": "enforced_spend_limit_reached"}),
            MISCONFIGURED,
        ),
        (429, '[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]', UNAVAILABLE),
        (500, openai(message="image input is not supported"), REJECTED),
        (500, "Internal Server Error", UNAVAILABLE),
        (501, "", REJECTED),
        (502, "<html>", UNAVAILABLE),
        (503, '{"object":"error","message":"full","code":503}', UNAVAILABLE),
        (529, openai(type="overloaded_error"), UNAVAILABLE),
        (302, "", MISCONFIGURED),
        # Case O, laravel/ai PR 925, and others that HTTP does not know.
        (498, "", UNAVAILABLE),
        (498, openai(code="capacity_exceeded"), UNAVAILABLE),
        (420, "", UNAVAILABLE),
        (424, '{"error":"SECRET","error_type":"generation"}', UNAVAILABLE),
        (430, "", UNAVAILABLE),
        (449, "", UNAVAILABLE),
        (460, "", UNAVAILABLE),
        (499, "", UNAVAILABLE),
        (600, "", UNAVAILABLE),
        (999, "", UNAVAILABLE),
        (494, "", REJECTED),
        (497, "", MISCONFIGURED),
        (407, "", MISCONFIGURED),
        (405, "", REJECTED),
        (451, "", REJECTED),
    ],
)
def test_a_status_has_a_meaning(
    status: int, body: str, meaning: tuple[ErrorCode, bool]
) -> None:
    fault = fault_of_status(status, body.encode())
    assert (fault.code, fault.retryable) == meaning


def test_code_and_type_are_named() -> None:
    body = openai(code="model_not_found", type="invalid_request_error").encode()
    assert (
        "(model_not_found, invalid_request_error)" in fault_of_status(404, body).detail
    )


@pytest.mark.parametrize("code", ["my secret", "a\nb", "x" * 100, "", 7, ["a"]])
def test_what_looks_like_no_identifier_is_not_repeated(code: object) -> None:
    detail = fault_of_status(400, openai(code=code).encode()).detail
    assert detail == "the model server answered HTTP 400"


def test_the_message_of_a_server_is_not_repeated() -> None:
    assert "secret" not in str(fault_of_status(400, openai(code="a").encode()))


def test_the_wait_that_a_server_asks_for_is_said() -> None:
    detail = fault_of_status(429, openai(code="slow_down").encode(), "12").detail
    assert detail.endswith("HTTP 429 (slow_down) and asks to wait 12 s")


@pytest.mark.parametrize(
    ("status", "wait"),
    [
        (429, "you said 2+2"),
        (429, "-1"),
        (429, "9" * 99),
        (429, "\u0661"),
        (429, "Wed, 25 Nov 2026 18:00:00 GMT"),
        (400, "12"),
    ],
)
def test_what_is_no_number_of_seconds_or_helps_nobody_is_not_said(
    status: int, wait: str
) -> None:
    detail = fault_of_status(status, b"{}", wait).detail
    assert detail == f"the model server answered HTTP {status}"
