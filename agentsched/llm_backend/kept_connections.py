"""Owns which connection a call gets: one on which a server said what nobody asked is closed.

HTTP/1.1 gives an answer to whoever asks next on its connection. aiohttp looks at a
connection when it is put back, and not again when it is taken: what arrives in between,
or in the same piece as an answer's end, would be the next call's answer.
"""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

_SILENT_CODE, _SILENT_REASON = 204, "agentsched silence"
_SILENCE = f"HTTP/1.1 {_SILENT_CODE} {_SILENT_REASON}\r\n\r\n".encode()
"""An answer without a body, which no server sends."""
_READABLE = select.POLLIN | select.POLLPRI


class SpokeFirstError(aiohttp.ServerDisconnectedError):
    """A new connection carried bytes before anything was asked."""


@dataclass
class ConnectionUse:
    """What is known of the connection of one attempt."""

    reused: bool = False
    """An earlier call had it: the server may have closed it meanwhile."""
    unwritten: ResponseHandler | None = None
    """The connection, until the request's first bytes are written."""


_current_use: ContextVar[ConnectionUse | None] = ContextVar(
    "connection_use", default=None
)


@contextmanager
def watch_connection() -> Iterator[ConnectionUse]:
    """Learn what connection the call inside the block gets; for one task at a time."""
    use = ConnectionUse()
    token = _current_use.set(use)
    try:
        yield use
    finally:
        _current_use.reset(token)


class CleanConnector(aiohttp.TCPConnector):
    """Gives out connections on which nothing waits to be read."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  (aiohttp's own)
        """Takes the options of `aiohttp.TCPConnector`; opens nothing."""
        super().__init__(**options)
        self._served: WeakSet[ResponseHandler] = WeakSet()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  (aiohttp's name)
    ) -> Connection:
        """Take a kept connection that is silent, or make one.

        A call that is watched looks again when it writes (`second_look`).

        Raises:
            SpokeFirstError: not even a new one is silent.
        """
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            reused = protocol in self._served
            if protocol is not None and await _is_silent(protocol, reused=reused):
                self._served.add(protocol)
                if use := _current_use.get():
                    use.reused, use.unwritten = reused, protocol
                return connection
            connection.close()
            if not reused:
                raise SpokeFirstError


def second_look() -> aiohttp.TraceConfig:
    """Look again when the request's first bytes are written; its session needs it.

    aiohttp writes a turn of the loop after it took the connection, and before it reads
    in that turn. A connection that is found soiled is broken off, as if the server had
    closed it.
    """
    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(_look_again)
    return trace


async def _look_again(*_: object) -> None:
    use = _current_use.get()
    if use is None or use.unwritten is None:
        return
    protocol, use.unwritten = use.unwritten, None
    if _has_unread(protocol, reused=use.reused):
        protocol.abort()


async def _is_silent(protocol: ResponseHandler, *, reused: bool) -> bool:
    if _has_unread(protocol, reused=reused):
        return False
    return not (reused and await _is_halfway(protocol))


def _has_unread(protocol: ResponseHandler, *, reused: bool) -> bool:
    """Whether bytes, or the end, lie in aiohttp's buffers or still in the socket's."""
    transport = protocol.transport
    if protocol.should_close or transport is None or transport.is_closing():
        return True
    if not reused and transport.get_extra_info("ssl_object"):
        return False  # a server's first bytes are TLS's own: tickets for other sessions
    socket = transport.get_extra_info("socket")
    look = select.poll()  # `select.select` knows no descriptor above 1,023
    look.register(socket.fileno(), _READABLE)
    return bool(look.poll(0))


async def _is_halfway(protocol: ResponseHandler) -> bool:
    """Whether the parser has read the beginning of something, which it does not show.

    It is given an answer of our own: alone it comes out as it was, behind a beginning
    it does not.
    """
    protocol.data_received(_SILENCE)
    if len(protocol) != 1 or protocol.exception():
        return True
    message, _ = await protocol.read()  # it is there: this does not wait
    alone = (message.code, message.reason) == (_SILENT_CODE, _SILENT_REASON)
    return not alone or protocol.should_close
