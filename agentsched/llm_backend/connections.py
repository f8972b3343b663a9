"""The HTTP connections to one endpoint: httpx on top, aiohttp's connector below.

Why this pair: docs/decisions/0003-llm-transport.md. Beside it only
`kept_connections` and `connection_faults` know aiohttp.
"""

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy

import aiohttp
import httpx
from aiohttp.connector import Connection
from httpx_aiohttp import AiohttpTransport

from agentsched.config.settings import ConnectionPoolSettings
from agentsched.llm_backend.kept_connections import CleanConnector, second_look

KEEPALIVE_EXPIRY_S = 3.0
"""uvicorn (so vLLM and SGLang) closes idle connections after 5 s; at equal values 28 of
30 calls met a connection that was just being closed."""

HEADER_LINE_BYTES = 65_536
"""Of an answer; proxies and guards write some of 10 KB."""
MAX_HEADERS = 256

TRANSPORT_ERRORS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    aiohttp.ClientError,
    OSError,
    UnicodeError,
)
"""Everything by which the connection below a call can fail, and a head be unreadable."""


def name_of(error: Exception) -> str:
    """Name what went wrong; httpx-aiohttp's own classes hide it behind a time-out."""
    return type(error.__cause__ or error).__name__


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
            # Our session verifies with its own; without this one, all authorities would
            # be read from a file for nothing, for each client.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
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


class _Response(aiohttp.ClientResponse):
    """One whose reason phrase is left out: its bytes may be no text, and nobody reads it."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """See aiohttp."""
        await super().start(connection)
        self.reason = None
        return self


def _open_session(max_connections: int, *, keep: bool) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=CleanConnector(
            limit=max_connections,
            keepalive_timeout=KEEPALIVE_EXPIRY_S if keep else None,
            force_close=not keep,
        ),
        response_class=_Response,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[second_look()],
        trust_env=False,
        max_line_size=HEADER_LINE_BYTES,
        max_field_size=HEADER_LINE_BYTES,
        max_headers=MAX_HEADERS,
    )
