"""The bytes of a chat completion -> `Completion`; pure, and doubts everything.

The call is paid: what is odd beside the answer is left out, and costs no answer.
"""

import json
from typing import Any

from agentsched.llm_backend import http_errors, no_completion
from agentsched.llm_backend.answer_text import content_in, reasoning_in
from agentsched.llm_backend.error_bodies import (
    error_in,
    error_in_choice,
    finish_reason_in,
)
from agentsched.llm_backend.server_json import (
    TooDeepError,
    clean,
    clean_text,
    read_json,
)
from agentsched.protocols import Completion
from agentsched.types import MAX_LABEL_CHARACTERS

MAX_USAGE_BYTES = 16_384
"""More is no count; then only the sums are kept."""
_SUMS = ("prompt_tokens", "completion_tokens", "total_tokens")
_CALLS = frozenset({"tool_calls", "function_call"})
"""Finish reasons that announce a call."""


def read_completion(body: bytes, model_s: float, status: int = 200) -> Completion:
    """Read what came with a 2xx.

    Args:
        body: the whole answer.
        model_s: how long the call took.
        status: the HTTP status; an error names it.

    Raises:
        CallFailed: the server put an error into it, or it is no chat completion
            (UPSTREAM_INVALID).
    """
    try:
        parsed = read_json(body)
    except TooDeepError:
        raise no_completion.too_deep(status) from None
    except ValueError:
        raise no_completion.no_json(status, body) from None
    if error := error_in(parsed):
        raise http_errors.fault_of_error(error)
    choice = _first_choice(parsed, status)
    if error := error_in_choice(choice):
        raise http_errors.fault_of_error(error)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise no_completion.invalid("a choice without a message", status)
    return _completion(parsed, choice, message, model_s, status)


def _completion(
    parsed: object,
    choice: dict[str, Any],
    message: dict[str, Any],
    model_s: float,
    status: int,
) -> Completion:
    usage = parsed.get("usage") if isinstance(parsed, dict) else None
    tool_calls = _tool_calls(message, status)
    function_call = _function_call(message, status)
    completion = Completion(
        content=content_in(message, status, needed=not (tool_calls or function_call)),
        finish_reason=_finish_reason(choice),
        tool_calls=tool_calls,
        usage=_usage(usage) if isinstance(usage, dict) else None,
        model_s=model_s,
        reasoning=reasoning_in(message),
        function_call=function_call,
    )
    if completion.finish_reason in _CALLS and not (
        completion.tool_calls or completion.function_call or completion.content
    ):
        raise no_completion.invalid(
            f"finish_reason {completion.finish_reason!r}, and neither a call nor text",
            status,
        )
    return completion


def _first_choice(parsed: object, status: int) -> dict[str, Any]:
    choices = parsed.get("choices") if isinstance(parsed, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise no_completion.invalid("no choices", status)
    return choice


def _finish_reason(choice: dict[str, Any]) -> str | None:
    reason = finish_reason_in(choice)
    if reason is None or len(reason) > MAX_LABEL_CHARACTERS:
        return None
    return clean_text(reason)


def _tool_calls(message: dict[str, Any], status: int) -> list[dict[str, Any]] | None:
    """Return them as they are: arguments may be invalid JSON, the agent must look."""
    calls = message.get("tool_calls")
    if not calls:
        return None
    if not isinstance(calls, list) or not all(isinstance(c, dict) for c in calls):
        raise no_completion.invalid("tool_calls that are no list of objects", status)
    return [_call(each, status) for each in calls]


def _function_call(message: dict[str, Any], status: int) -> dict[str, Any] | None:
    """Return the call as servers made it before `tool_calls`; None: there is none."""
    call = message.get("function_call")
    return _call(call, status) if call and isinstance(call, dict) else None


def _call(call: dict[str, Any], status: int) -> dict[str, Any]:
    """Return it whole or not at all: nobody may act on a part of it."""
    try:
        cleaned = clean(call)
    except TooDeepError:
        raise no_completion.too_deep(status) from None
    return dict(cleaned) if isinstance(cleaned, dict) else {}


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    try:
        cleaned = clean(usage)
        if len(json.dumps(cleaned)) <= MAX_USAGE_BYTES and isinstance(cleaned, dict):
            return cleaned
    except TooDeepError:
        pass
    counts = {name: usage[name] for name in _SUMS if name in usage}
    return {k: v for k, v in counts.items() if isinstance(v, int | float)}
