"""The HTTP connections to one endpoint: httpx on top, aiohttp's connector below.

Why this pair: docs/decisions/0003-llm-transport.md. Only this module knows aiohttp.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from agentsched.config.settings import ConnectionPoolSettings

KEEPALIVE_EXPIRY_S = 3.0
"""uvicorn (so vLLM and SGLang) closes idle connections after 5 s; at equal values 28 of
30 calls met a connection that was just being closed."""

TRANSPORT_ERRORS = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError)
"""Everything by which the connection below a call can fail."""


_SILENT_END = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


@dataclass
class ConnectionUse:
    """What is known of the connection of one attempt."""

    reused: bool = False
    """An earlier call had it: the server may have closed it meanwhile."""


_current_use: ContextVar[ConnectionUse | None] = ContextVar("connection_use")


@contextmanager
def watch_connection() -> Iterator[ConnectionUse]:
    """Learn what connection the call inside the block gets; for one task at a time."""
    use = ConnectionUse()
    token = _current_use.set(use)
    try:
        yield use
    finally:
        _current_use.reset(token)


def name_of(error: Exception) -> str:
    """Name what went wrong; httpx-aiohttp's own classes hide it behind a time-out."""
    return type(error.__cause__ or error).__name__


def came_before_the_answer(error: Exception) -> bool:
    """Whether the connection ended, or never was, before one byte of an answer."""
    cause = error.__cause__ or error
    return isinstance(cause, (*_SILENT_END, httpx.ConnectError, httpx.TimeoutException))


async def _note_reuse(*_: object) -> None:
    if use := _current_use.get(None):
        use.reused = True


def open_client(
    settings: ConnectionPoolSettings, key: str | None, *, keep: bool
) -> httpx.AsyncClient:
    """Make a client of one endpoint, bound to the running loop; opens nothing yet.

    Args:
        settings: how many connections, and how long one may take to set up.
        key: sent as a bearer token; None: no Authorization header.
        keep: whether a connection serves more than one call.
    """
    headers = {"user-agent": "agentsched", "accept-encoding": "identity"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    return httpx.AsyncClient(
        transport=AiohttpTransport(
            client=lambda: _open_session(settings.max_connections, keep=keep),
            trust_env=False,
        ),
        headers=headers,
        # Silence is no fault: a model may think for minutes. The caller's total counts.
        timeout=httpx.Timeout(None, connect=settings.timeout),
        # Nothing of one request may reach another, so no domain may set a cookie.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        trust_env=False,
        follow_redirects=False,
    )


def _open_session(max_connections: int, *, keep: bool) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_note_reuse)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=max_connections,
            keepalive_timeout=KEEPALIVE_EXPIRY_S if keep else None,
            force_close=not keep,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[trace],
        trust_env=False,
    )
