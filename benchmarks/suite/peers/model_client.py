"""How all peers call the model: aiohttp in coroutines, http.client in threads."""

import http.client
import threading
from urllib.parse import urlsplit

import aiohttp

from benchmarks.suite.peers import wire

PATH = "/chat/completions"
JSON = {"Content-Type": "application/json"}


def async_session() -> aiohttp.ClientSession:
    """Return what a loop keeps; as many connections as there are slots."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=sum(wire.SLOTS.values())),
        timeout=aiohttp.ClientTimeout(total=wire.CALL_TIMEOUT_S),
    )


async def ask(session: aiohttp.ClientSession, request: dict) -> bytes:
    """Call the model; returns the reply's bytes."""
    body = wire.chat(request)
    async with session.post(wire.MODEL_URL + PATH, data=body, headers=JSON) as answer:
        answer.raise_for_status()
        return wire.reply(request, await answer.read())


_kept = threading.local()


def ask_blocking(request: dict) -> bytes:
    """Call the model on this thread's own connection; returns the reply's bytes.

    Nothing in Python is cheaper than http.client with a connection kept open.
    """
    url = urlsplit(wire.MODEL_URL)
    if not hasattr(_kept, "connection"):
        _kept.connection = http.client.HTTPConnection(
            url.hostname, url.port, timeout=wire.CALL_TIMEOUT_S
        )
    try:
        _kept.connection.request("POST", url.path + PATH, wire.chat(request), JSON)
        answer = _kept.connection.getresponse()
        body = answer.read()
    except Exception:
        _kept.connection.close()
        raise
    if answer.status != 200:
        raise RuntimeError(f"the model server said {answer.status}")
    return wire.reply(request, body)
