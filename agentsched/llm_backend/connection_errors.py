"""Owns what is said of a call that got no answer, because of the connection; pure.

Texts name what to look at, and no address: agents read them, too.
"""

import socket
import ssl
from collections.abc import Mapping

import aiohttp

from agentsched.errors import CallFailed, ErrorCode
from agentsched.llm_backend.kept_connections import SpokeFirstError

PROXY_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_BEFORE_THE_ANSWER = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
    aiohttp.ServerTimeoutError,
)
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"})

_REASONS: tuple[
    tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...
] = (
    (socket.gaierror, "its name is not known; look at `base_url` and the name servers"),
    (ConnectionRefusedError, "nothing listens at its address (connection refused)"),
    (SpokeFirstError, "it spoke before it was asked"),
    (aiohttp.ServerDisconnectedError, "it closed the connection without an answer"),
    (
        TimeoutError,
        "it took no connection within `connection_pool.timeout`",
    ),
)


def came_before_the_answer(error: Exception) -> bool:
    """Whether the connection ended, or never was, before one byte of an answer."""
    return isinstance(error, _BEFORE_THE_ANSWER)


def fault_of_connection(error: Exception, environ: Mapping[str, str]) -> CallFailed:
    """Classify what ended a call before a whole head of an answer was there.

    Args:
        error: of aiohttp.
        environ: where variables of proxies would be.
    """
    reason = reason_of(error)
    if not came_before_the_answer(error):
        return CallFailed(
            ErrorCode.UPSTREAM_INVALID,
            f"the model server did not answer in HTTP: {reason}",
            retryable=True,
        )
    if _is_misconfigured(error):
        return CallFailed(
            ErrorCode.MODEL_MISCONFIGURED,
            f"the model server cannot be called: {reason}",
            retryable=False,
        )
    proxies = proxies_in(environ)
    unused = f"; {proxies} is set, but calls use no proxy" if proxies else ""
    return CallFailed(
        ErrorCode.MODEL_UNAVAILABLE,
        f"the model server cannot be reached: {reason}{unused}",
        retryable=True,
    )


def proxies_in(environ: Mapping[str, str]) -> str:
    """Name the variables of proxies that are set; empty: none is."""
    names = [n for n in PROXY_VARIABLES if environ.get(n) or environ.get(n.lower())]
    return ", ".join(names)


def reason_of(error: Exception) -> str:
    """Say what happened to a connection, and what to look at."""
    unread = isinstance(error, aiohttp.ClientResponseError)
    cause = (error.__cause__ if unread else None) or error
    below = getattr(cause, "os_error", None) or cause
    if isinstance(below, ssl.SSLError):
        return _reason_of_tls(below)
    if isinstance(below, aiohttp.http_exceptions.HttpProcessingError):
        return _reason_of_no_http(below)
    return next(
        (said for kind, said in _REASONS if isinstance(below, kind)),
        type(below).__name__,
    )


def _reason_of_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message.partition(",")[0]
        return (
            f"its certificate is not trusted ({said}); workers trust the system's"
            " authorities, or those in the file that SSL_CERT_FILE names"
        )
    if error.reason in _NO_TLS:
        return "it speaks no TLS there; does `base_url` begin with https:// wrongly?"
    return f"TLS failed ({error.reason or type(error).__name__})"


def _reason_of_no_http(error: Exception) -> str:
    if isinstance(error.__cause__, aiohttp.http_exceptions.LineTooLong):
        return "a header of its answer is longer than 64 KiB"
    return "what came is something else (HttpProcessingError)"


def _is_misconfigured(error: Exception) -> bool:
    below = getattr(error, "os_error", None)
    if isinstance(below, ssl.SSLCertVerificationError):
        return True
    return isinstance(below, ssl.SSLError) and below.reason in _NO_TLS
