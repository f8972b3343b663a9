"""What an HTTP answer that is no completion means for a request; pure.

A server's error text may quote the prompt, so only its code and type, and only where
they look like identifiers, get into ours.
"""

import json
import re
from typing import Any

from agentsched.errors import CallFailed, ErrorCode

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_TRANSIENT_STATUS = frozenset({408, 409, 425, 429})
_MISCONFIGURED_STATUS = frozenset({401, 402, 403, 404})
_SPENT = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "enforced_spend_limit_reached",
        "organization_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "project_spend_limit_exceeded",
    }
)
"""Codes of a 429 that waiting does not mend."""
_STATUS_OF_WORD = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "slow_down": 429,
    "resource_exhausted": 429,
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "context_length_exceeded": 400,
    "exceed_context_size_error": 400,
    "content_filter": 400,
    "notfounderror": 404,
}
"""What an error object inside a 200 means, where it names no status."""
_UNSUPPORTED = re.compile(rb"not supported|unsupported|not a multimodal", re.IGNORECASE)

_WAIT = re.compile(r"[0-9]{1,5}")
"""A Retry-After in seconds, of about a day at most; a date is of the server's clock."""

SERVER_ERROR = 500
NOT_IMPLEMENTED = 501


def fault_of_status(status: int, body: bytes, retry_after: str = "") -> CallFailed:
    """Classify an answer whose status is not 200.

    Args:
        status: the HTTP status.
        body: what was read of it; any bytes.
        retry_after: the header of that name; repeated where it is a number of seconds.
    """
    words = _words(_error_object(_parsed(body)))
    named = f"HTTP {status}" + (f" ({', '.join(words)})" if words else "")
    code, retryable = _meaning(status, words, body)
    if retryable and _WAIT.fullmatch(retry_after):
        named += f" and asks to wait {int(retry_after)} s"
    return CallFailed(code, f"the model server answered {named}", retryable=retryable)


def fault_in_answer(parsed: object, body: bytes) -> CallFailed | None:
    """Find the error object that some servers put into a 200; None: there is none."""
    error = _error_object(parsed)
    if not error:
        return None
    words = _words(error)
    number = error.get("code") if isinstance(error, dict) else None
    if not isinstance(number, int):
        known = (_STATUS_OF_WORD.get(word.lower()) for word in words)
        number = next((status for status in known if status), SERVER_ERROR)
    code, retryable = _meaning(number, words, body)
    named = f" ({', '.join(words)})" if words else ""
    return CallFailed(
        code, f"the model server answered with an error{named}", retryable=retryable
    )


def unreachable(reason: str) -> CallFailed:
    """No byte of an answer came; `reason` is the name of an exception."""
    return CallFailed(
        ErrorCode.MODEL_UNAVAILABLE,
        f"the model server cannot be reached, or closed the connection ({reason})",
        retryable=True,
    )


def broken_off(reason: str) -> CallFailed:
    """The answer began and did not end; `reason` is the name of an exception."""
    return CallFailed(
        ErrorCode.MODEL_UNAVAILABLE,
        f"the model server's answer broke off ({reason})",
        retryable=True,
    )


def no_http(reason: str) -> CallFailed:
    """What came is no HTTP; `reason` is the name of an exception."""
    return CallFailed(
        ErrorCode.UPSTREAM_INVALID,
        f"the model server did not answer in HTTP ({reason})",
        retryable=True,
    )


def unwanted_encoding() -> CallFailed:
    """Compressed, although identity was asked for; unpacking it has no bound."""
    return CallFailed(
        ErrorCode.UPSTREAM_INVALID,
        "the model server compressed its answer although it was asked not to",
        retryable=False,
    )


def too_long(limit_bytes: int) -> CallFailed:
    """More bytes than a reply of the largest size can need."""
    return CallFailed(
        ErrorCode.REPLY_TOO_LARGE,
        f"the model server's answer is longer than {limit_bytes} bytes; ask for fewer"
        " tokens (params.max_tokens)",
        retryable=False,
    )


def out_of_time(waited_s: float) -> CallFailed:
    """The request's time to live was over while the model worked."""
    return CallFailed(
        ErrorCode.DEADLINE_EXCEEDED,
        f"the model had not answered after {waited_s:.1f} s, when the time to live"
        " was over",
        retryable=True,
    )


def keyless() -> CallFailed:
    """The worker has no key for the endpoint; its log says which."""
    return CallFailed(
        ErrorCode.MODEL_MISCONFIGURED,
        "the worker has no API key for the model server",
        retryable=True,
    )


def _meaning(status: int, words: list[str], body: bytes) -> tuple[ErrorCode, bool]:
    if not _SPENT.isdisjoint(words) or status in _MISCONFIGURED_STATUS:
        return ErrorCode.MODEL_MISCONFIGURED, False
    if status in _TRANSIENT_STATUS:
        return ErrorCode.MODEL_UNAVAILABLE, True
    if status in range(300, 400):
        # Redirects are not followed: they could carry the key to another host.
        return ErrorCode.MODEL_MISCONFIGURED, False
    if status < SERVER_ERROR or status == NOT_IMPLEMENTED or _UNSUPPORTED.search(body):
        return ErrorCode.MODEL_REJECTED, False
    return ErrorCode.MODEL_UNAVAILABLE, True


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _error_object(parsed: object) -> Any:  # noqa: ANN401  (whatever a server sent)
    """Find it in the shapes of OpenAI, Gemini (in a list) and SGLang (flat)."""
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return None
    if parsed.get("object") == "error":
        return parsed
    return parsed.get("error")


def _words(error: object) -> list[str]:
    if not isinstance(error, dict):
        return []
    details = error.get("details")
    further = details.get("error_code") if isinstance(details, dict) else None
    candidates = (error.get("code"), error.get("type"), error.get("status"), further)
    words = [word for word in candidates if isinstance(word, str)]
    return list(dict.fromkeys(w for w in words if _IDENTIFIER.fullmatch(w)))
