"""The bytes of a chat completion -> `Completion`; pure, and doubts everything."""

import json
from typing import Any

from agentsched.errors import CallFailed, ErrorCode
from agentsched.llm_backend.call_errors import fault_in_answer
from agentsched.protocols import Completion


def read_completion(body: bytes, model_s: float) -> Completion:
    """Read a 200.

    Args:
        body: the whole answer.
        model_s: how long the call took.

    Raises:
        CallFailed: the server put an error into it, or it is no chat completion
            (UPSTREAM_INVALID).
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise _invalid("no JSON") from None
    if fault := fault_in_answer(parsed, body):
        raise fault
    choice = _first_choice(parsed)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise _invalid("a choice without a message")
    finish_reason = choice.get("finish_reason")
    usage = parsed.get("usage")
    return Completion(
        content=_content(message),
        finish_reason=finish_reason if isinstance(finish_reason, str) else None,
        tool_calls=_tool_calls(message),
        usage=usage if isinstance(usage, dict) else None,
        model_s=model_s,
    )


def _first_choice(parsed: object) -> dict[str, Any]:
    choices = parsed.get("choices") if isinstance(parsed, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise _invalid("no choices")
    return choice


def _content(message: dict[str, Any]) -> str | None:
    """Return the text; a refusal is an answer too, and stands in its place."""
    content = message.get("content")
    if content is None:
        content = message.get("refusal")
    if content is not None and not isinstance(content, str):
        raise _invalid("content that is no text")
    return content


def _tool_calls(message: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return them as they are: arguments may be invalid JSON, the agent must look."""
    calls = message.get("tool_calls")
    if not calls:
        return None
    if not isinstance(calls, list) or not all(isinstance(c, dict) for c in calls):
        raise _invalid("tool_calls that are no list of objects")
    return calls


def _invalid(what: str) -> CallFailed:
    return CallFailed(
        ErrorCode.UPSTREAM_INVALID,
        f"the model server answered HTTP 200 with {what}",
        retryable=True,
    )
