"""What an HTTP answer that is no completion means for a request; pure.

A server's error text may quote the prompt, so only its code and type, and only where
they look like identifiers, get into ours.
"""

import re
from http import HTTPStatus

from agentsched.errors import CallFailed, ErrorCode
from agentsched.llm_backend.error_bodies import UNKNOWN_STATUS, ServerError, names_of
from agentsched.llm_backend.server_json import read_json

_TRANSIENT_STATUS = frozenset({408, 409, 423, 424, 425, 429})
"""424: TGI's generation failed."""
_MISCONFIGURED_STATUS = frozenset({401, 402, 403, 404, 407, 421, 495, 496, 497, 511})
"""Beside key and model: proxies that want a log-in, a certificate, or TLS."""
_HEADER_TOO_LARGE_FOR_NGINX = 494
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
_UNSUPPORTED = re.compile(rb"not supported|unsupported|not a multimodal", re.IGNORECASE)
_REFUSAL = re.compile(
    "not supported|unsupported|not a multimodal|validation error|context (length|size)",
    re.IGNORECASE,
)
"""What servers say inside a 200 of a request that will not do."""

_WAIT = re.compile(r"[0-9]{1,5}")
"""A Retry-After in seconds, of about a day at most; a date is of the server's clock."""

_REDIRECTS = range(300, 400)
_KNOWN_STATUS = frozenset(HTTPStatus)
REFUSED = 400
SERVER_ERROR = 500
NOT_IMPLEMENTED = 501


def fault_of_status(status: int, body: bytes, retry_after: str = "") -> CallFailed:
    """Classify an answer whose status is not 200.

    Args:
        status: the HTTP status.
        body: what was read of it; any bytes.
        retry_after: the header of that name; repeated where it is a number of seconds.
    """
    names = names_of(_parsed(body))
    named = f"HTTP {status}" + (f" ({', '.join(names)})" if names else "")
    code, retryable = _meaning(status, names, body)
    if status in _REDIRECTS:
        named += (
            ", a redirect; it is not followed, as it could carry the key to another host:"
            " set `base_url` to where it leads"
        )
    if retryable and _WAIT.fullmatch(retry_after):
        named += f" and asks to wait {int(retry_after)} s"
    return CallFailed(code, f"the model server answered {named}", retryable=retryable)


def fault_of_error(error: ServerError) -> CallFailed:
    """Classify the error that a server put into a 200."""
    is_refusal = error.status == UNKNOWN_STATUS and _REFUSAL.search(error.text)
    status = REFUSED if is_refusal else error.status
    code, retryable = _meaning(status, error.names, b"")
    named = f" ({', '.join(error.names)})" if error.names else ""
    return CallFailed(
        code, f"the model server answered with an error{named}", retryable=retryable
    )


def broken_off(reason: str) -> CallFailed:
    """The answer began and did not end; `reason` is the name of an exception."""
    return CallFailed(
        ErrorCode.MODEL_UNAVAILABLE,
        f"the model server's answer broke off ({reason})",
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


def _meaning(
    status: int, names: tuple[str, ...], text: bytes
) -> tuple[ErrorCode, bool]:
    if not _SPENT.isdisjoint(names) or status in _MISCONFIGURED_STATUS:
        return ErrorCode.MODEL_MISCONFIGURED, False
    if status in _TRANSIENT_STATUS:
        return ErrorCode.MODEL_UNAVAILABLE, True
    if status in _REDIRECTS:
        return ErrorCode.MODEL_MISCONFIGURED, False
    if status == NOT_IMPLEMENTED or _UNSUPPORTED.search(text) or _is_refusal(status):
        return ErrorCode.MODEL_REJECTED, False
    return ErrorCode.MODEL_UNAVAILABLE, True


def _is_refusal(status: int) -> bool:
    """Whether HTTP knows it as the request's fault.

    A number that HTTP does not know (430, 498, 499 ...) is a proxy's or a vendor's own,
    mostly for a lack of capacity: it says nothing against the request.
    """
    if status == _HEADER_TOO_LARGE_FOR_NGINX:
        return True
    return status < SERVER_ERROR and status in _KNOWN_STATUS


def _parsed(body: bytes) -> object:
    try:
        return read_json(body)
    except ValueError:
        return None
