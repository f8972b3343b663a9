"""The HTTP connections to one endpoint: aiohttp, with a connector of our own.

Why so: docs/decisions/0003-llm-transport.md. Beside it only `exchange`,
`kept_connections` and `connection_errors` know aiohttp.
"""

import aiohttp
from aiohttp.connector import Connection

from agentsched.config.settings import ConnectionPoolSettings
from agentsched.llm_backend.kept_connections import CleanConnector, second_look

KEEPALIVE_EXPIRY_S = 3.0
"""uvicorn (so vLLM and SGLang) closes idle connections after 5 s; at equal values 28 of
30 calls met a connection that was just being closed."""

HEADER_LINE_BYTES = 65_536
"""Of an answer; proxies and guards write some of 10 KB."""
MAX_HEADERS = 256

TRANSPORT_ERRORS = (aiohttp.ClientError, OSError, UnicodeError)
"""Everything by which the connection below a call can fail, and a head be unreadable."""


def open_session(
    settings: ConnectionPoolSettings, key: str | None, *, keep: bool
) -> aiohttp.ClientSession:
    """Make the session of one endpoint, in the running loop; connects to nothing yet.

    Args:
        settings: how many connections, and how long one may take to set up.
        key: sent as a bearer token; None: no Authorization header.
        keep: whether a connection serves more than one call.
    """
    headers = {"user-agent": "agentsched", "accept-encoding": "identity"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    return aiohttp.ClientSession(
        connector=CleanConnector(
            limit=settings.max_connections,
            keepalive_timeout=KEEPALIVE_EXPIRY_S if keep else None,
            force_close=not keep,
        ),
        headers=headers,
        # Silence is no fault: a model may think for minutes. The caller's total counts.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.timeout),
        response_class=_Response,
        # Nothing of one request may reach another, so no domain may set a cookie.
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[second_look()],
        trust_env=False,
        auto_decompress=False,
        max_line_size=HEADER_LINE_BYTES,
        max_field_size=HEADER_LINE_BYTES,
        max_headers=MAX_HEADERS,
    )


class _Response(aiohttp.ClientResponse):
    """One whose reason phrase is left out: its bytes may be no text, and nobody reads it."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """See aiohttp."""
        await super().start(connection)
        self.reason = None
        return self
