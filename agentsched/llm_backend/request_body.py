"""A request -> the JSON body of one chat completion; pure."""

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
        "extra_body",
        "extra_headers",
        "extra_query",
        "headers",
        "timeout",
    }
)
"""Keys of `params` that are left out."""


def chat_body(model: str, request: Message) -> dict[str, Any]:
    """Say what the server is asked.

    Raises:
        CallFailed: EMPTY_CONTENT, the request holds nothing to ask.
    """
    params = {
        key: value
        for key, value in (request.params or {}).items()
        if key not in NOT_A_PARAMETER
    }
    return params | {
        "model": model,
        "messages": _chat_messages(request),
        "stream": False,
    }


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
