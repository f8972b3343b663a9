"""What is said of a 2xx with something that is no chat completion; pure."""

from http import HTTPStatus

from agentsched.errors import CallFailed, ErrorCode
from agentsched.llm_backend.server_json import read_json

_EVENTS = (b"data:", b"event:", b"id:", b"retry:", b":")
"""How a stream of server-sent events may begin."""


def invalid(what: str, status: int, *, retryable: bool = True) -> CallFailed:
    """A 2xx with something that is no chat completion.

    Args:
        what: came; a few words of ours.
        status: it came with; only after 200 is another try of any use.
        retryable: whether the server may do better the next time.
    """
    later = "; an answer that comes later is fetched by nobody"
    return CallFailed(
        ErrorCode.UPSTREAM_INVALID,
        f"the model server answered HTTP {status} with {what}"
        + (later if status == HTTPStatus.ACCEPTED else ""),
        retryable=retryable and status == HTTPStatus.OK,
    )


def no_text(what: str, status: int) -> CallFailed:
    """It answered in a form that a reply has no place for, and would again."""
    return invalid(f"{what}; a reply carries text only", status, retryable=False)


def too_deep(status: int) -> CallFailed:
    """A reply would be one that clients cannot read."""
    return invalid("JSON that is nested too deep", status, retryable=False)


def no_json(status: int, body: bytes) -> CallFailed:
    """Say what came instead, as far as its first bytes tell it."""
    begin = body.lstrip(b"\xef\xbb\xbf\r\n\t ")[:16].lower()
    if not begin:
        return invalid("an empty body", status)
    if begin.startswith(_EVENTS) or _is_lines(body):
        return invalid(
            "a stream of events although `stream` is false; the server, or what stands"
            " before it, has to be set to answer in one piece",
            status,
            retryable=False,
        )
    if begin.startswith(b"<"):
        return invalid(
            "a page (HTML or XML) instead of JSON; does `base_url` lead to the /v1 of an"
            " OpenAI-compatible server?",
            status,
        )
    return invalid("no JSON", status)


def _is_lines(body: bytes) -> bool:
    """Whether it is one JSON text a line, as Ollama streams."""
    first, _, more = body.strip().partition(b"\n")
    return bool(more) and isinstance(_json(first), dict)


def _json(text: bytes) -> object:
    try:
        return read_json(text)
    except ValueError:
        return None
