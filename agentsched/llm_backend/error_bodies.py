"""Finds the error that a server put into its JSON, in the shapes that servers use; pure.

Its text may quote the prompt: only its names, and only where they look like identifiers,
may get into ours.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentsched.llm_backend.server_json import is_blank

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_NAMES = ("code", "type", "status", "error_type", "error_code")
_NUMBERS = ("code", "status", "status_code", "error_code")
_TEXTS = ("message", "detail", "error")
_ALL_IS_WELL = (0, 200, "0", "200")
"""Codes that some servers put beside every answer."""
_BROKEN_OFF = re.compile("error.*|abort(ed)?|cancell?ed|fail(ed|ure)?", re.IGNORECASE)
"""Finish reasons of an answer that did not come to its end."""
_STATUS = re.compile("[45][0-9][0-9]")
_STATUS_OF_NAME = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "unauthenticated": 401,
    "billing_error": 402,
    "permission_denied": 403,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "notfounderror": 404,
    "overloaded": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "resource_exhausted": 429,
    "slow_down": 429,
    "badrequesterror": 400,
    "bad_request": 400,
    "content_filter": 400,
    "context_length_exceeded": 400,
    "exceed_context_size_error": 400,
    "input_validation_error": 400,
    "invalid_argument": 400,
    "invalid_request": 400,
    "invalid_request_error": 400,
    "request_too_large": 413,
    "validation": 422,
    "validation_error": 422,
}
"""What an error means that names no status."""
UNKNOWN_STATUS = 500


@dataclass(frozen=True, slots=True)
class ServerError:
    """What a server says of an error."""

    status: int
    """The HTTP status that it names or means; 500 where it names none."""
    names: tuple[str, ...] = ()
    """Its codes and types."""
    text: str = ""
    """Its words for a person; they may quote the prompt."""


def error_in(answer: object) -> ServerError | None:
    """Find the error in a whole answer: of OpenAI, Gemini (a list), SGLang, TGI (flat).

    One whose fields say nothing is none: LiteLLM sends such with good answers.
    """
    if isinstance(answer, list) and answer:
        answer = answer[0]
    if not isinstance(answer, dict):
        return None
    if "error" in (answer.get("object"), answer.get("type")):
        return _error(answer.get("error") or answer, answer)
    errors = answer.get("errors")
    if isinstance(errors, list) and errors and "choices" not in answer:
        return _error(errors[0], answer)
    return _error(answer.get("error"), answer)


def error_in_choice(choice: Mapping[str, Any]) -> ServerError | None:
    """Find the error for which an answer ended, behind a part of its text."""
    message = choice.get("message")
    inner = message.get("error") if isinstance(message, dict) else None
    if found := _error(choice.get("error"), {}) or _error(inner, {}):
        return found
    reason = finish_reason_in(choice)
    if reason is not None and _BROKEN_OFF.fullmatch(reason):
        return ServerError(
            UNKNOWN_STATUS, names_in({"code": f"finish_reason.{reason}"})
        )
    return None


def finish_reason_in(choice: Mapping[str, Any]) -> str | None:
    """Return it as text; SGLang may write an object."""
    reason = choice.get("finish_reason")
    if isinstance(reason, dict):
        reason = reason.get("type")
    return reason if isinstance(reason, str) else None


def names_in(*objects: object) -> tuple[str, ...]:
    """Return the codes and types that may be repeated."""
    names: list[str] = []
    for each in objects:
        if isinstance(each, dict):
            details = each.get("details")
            further = details.get("error_code") if isinstance(details, dict) else None
            names += [
                name
                for name in (*(each.get(key) for key in _NAMES), further)
                if isinstance(name, str) and _IDENTIFIER.fullmatch(name)
            ]
    return tuple(dict.fromkeys(names))


def names_of(answer: object) -> tuple[str, ...]:
    """Return the names of the error in an answer whose status says that there is one."""
    found = error_in(answer)
    return found.names if found else ()


def _error(error: object, around: Mapping[str, Any]) -> ServerError | None:
    if is_blank(_without_success(error)):
        return None
    beside = {"error_type": around.get("error_type")}
    names = names_in(error, beside)
    status = _number_in(error) or next(
        (_STATUS_OF_NAME[n.lower()] for n in names if n.lower() in _STATUS_OF_NAME),
        UNKNOWN_STATUS,
    )
    return ServerError(status, names, _text_of(error))


def _without_success(error: object) -> object:
    if not isinstance(error, dict):
        return error
    return {k: v for k, v in error.items() if k != "code" or v not in _ALL_IS_WELL}


def _number_in(error: object) -> int | None:
    if not isinstance(error, dict):
        return None
    numbers = (error.get(key) for key in _NUMBERS)
    texts = (str(n) for n in numbers if isinstance(n, str | int))
    return next((int(text) for text in texts if _STATUS.fullmatch(text)), None)


def _text_of(error: object) -> str:
    if isinstance(error, dict):
        texts = (error.get(key) for key in _TEXTS)
        return " ".join(text for text in texts if isinstance(text, str))
    return error if isinstance(error, str) else ""
