"""A request -> the JSON body of one chat completion; pure."""

import re
from typing import Any

from agentsched.errors import CallFailed, ErrorCode
from agentsched.types import Message

NOT_A_PARAMETER = frozenset(
    {
        # Decided by the scheduler.
        "model",
        "messages",
        "stream",
        "stream_options",
        "n",
        "priority",
        # Options of client libraries, which would redirect the call or add a key.
        "api_base",
        "api_key",
        "base_url",
        "default_headers",
        "default_query",
        "extra_headers",
        "extra_query",
        "headers",
        "timeout",
    }
)
"""Keys of `params` that are left out."""
EXTRA = "extra_body"
"""What OpenAI's client calls parameters that it does not know: they go beside the others."""
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def chat_body(model: str, request: Message) -> dict[str, Any]:
    """Say what the server is asked.

    Raises:
        CallFailed: EMPTY_CONTENT, the request holds nothing to ask; INVALID_REQUEST,
            `params.extra_body` contradicts the rest.
    """
    given = {k: v for k, v in (request.params or {}).items() if v is not None}
    extra = _extra(given)
    params = {k: v for k, v in given.items() if k not in (*NOT_A_PARAMETER, EXTRA)}
    return (
        params
        | extra
        | {
            "model": model,
            "messages": _chat_messages(request),
            "stream": False,
        }
    )


def _extra(given: dict[str, Any]) -> dict[str, Any]:
    """Return what `extra_body` adds; what it says otherwise is not guessed."""
    extra = given.get(EXTRA, {})
    if not isinstance(extra, dict):
        raise _wrong(f"params.{EXTRA} must be an object")
    extra = {key: value for key, value in extra.items() if value is not None}
    for key, value in extra.items():
        named = (
            f"params.{EXTRA}.{key}"
            if _IDENTIFIER.fullmatch(key)
            else f"params.{EXTRA}: a key"
        )
        if key in NOT_A_PARAMETER or key == EXTRA:
            raise _wrong(f"{named} cannot be set: leave it out")
        if key in given and given[key] != value:
            raise _wrong(f"{named} has another value in params: give one of them")
    return extra


def _wrong(what: str) -> CallFailed:
    return CallFailed(ErrorCode.INVALID_REQUEST, what, retryable=False)


def _chat_messages(request: Message) -> list[dict[str, Any]]:
    if request.messages:
        return request.messages
    if request.content:
        return [{"role": "user", "content": request.content}]
    raise CallFailed(
        ErrorCode.EMPTY_CONTENT,
        "neither content nor messages are given",
        retryable=False,
    )
