"""One port of a process: /metrics, /healthz, /readyz over plain HTTP; nothing else.

Bounded: a connection lives for seconds and has a thread of few; a new one pushes out the
oldest, so that slow readers keep nobody from the pages (docs/decisions/0020-telemetry.md).
"""

import json
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from errno import EADDRINUSE
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from time import monotonic
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from agentsched.config.settings import HttpSettings
from agentsched.errors import ConfigurationError
from agentsched.telemetry.events import BUG, HTTP_LISTENING
from agentsched.telemetry.health import Checks
from agentsched.telemetry.logs import say, where

MAX_CONNECTIONS = 16
MAX_CONNECTION_S = 10.0
READ_TIMEOUT_S = 3.0
LOOK_EVERY_S = 0.2
"""How often old connections and the order to stop are looked for."""
STOP_S = 5.0
JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
HELP = "/metrics  /healthz  /readyz\n"

Content = tuple[int, str, bytes]
"""Status, content type and body."""


class Page:
    """The port of one process.

    Args:
        settings: the section `http` of the configuration.
        port: the one that is wanted; 0: any.
        registry: what /metrics shows.
        live: its loops, for /healthz: a process with a stuck one wants a restart.
        ready: what it needs, for /readyz.
    """

    def __init__(
        self,
        settings: HttpSettings,
        port: int,
        registry: CollectorRegistry,
        live: Checks,
        ready: Checks,
    ) -> None:
        self.address = ""
        """`host:port`, where it listens; empty: nowhere."""
        self._settings = settings
        self._port = port
        self._registry = registry
        self._live = live
        self._ready = ready
        self._encoding = threading.Lock()
        self._server: _Server | None = None

    def start(self) -> None:
        """Take the port, or a free one where it is taken, and serve; call it once.

        Raises:
            ConfigurationError: there is no such host here, or the port is not for us.
        """
        if not self._settings.enabled:
            return
        self._server = server = _listen(self._settings.host, self._port, self._content)
        host, bound = map(str, server.server_address[:2])
        self.address = f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"
        wanted = None if str(self._port) in ("0", bound) else self._port
        say(HTTP_LISTENING, address=self.address, wanted=wanted)
        server.thread.start()

    def stop(self) -> None:
        """Close the port and all connections; idempotent."""
        if self._server is not None:
            self._server.stop()

    def _content(self, path: str, accept: str) -> Content:
        match path.partition("?")[0]:
            case "/metrics":
                encode, kind = choose_encoder(accept)
                with self._encoding:  # one at a time: it takes the GIL for long
                    return 200, kind, encode(self._registry)
            case "/healthz":
                return _verdict("live", self._live)
            case "/readyz":
                return _verdict("ready", self._ready)
            case "/":
                return 200, TEXT, HELP.encode()
        return 404, TEXT, f"not here; there is: {HELP}".encode()


def _verdict(name: str, checks: Checks) -> Content:
    states = {key: check() for key, check in checks.items()}
    good = all(state.ok for state in states.values())
    shown = {
        key: {"ok": state.ok} | ({"detail": state.detail} if state.detail else {})
        for key, state in states.items()
    }
    body = json.dumps({name: good, "checks": shown}, indent=2) + "\n"
    return 200 if good else 503, JSON, body.encode()


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD; HTTP/1.0, so every connection ends with its answer."""

    timeout = READ_TIMEOUT_S
    server: "_Server"

    def do_GET(self) -> None:
        accept = self.headers.get("Accept", "")
        status, kind, body = self.server.content(self.path, accept)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815  (http.server's name)

    def version_string(self) -> str:
        return "agentsched"

    def log_message(self, *_: object) -> None:
        pass  # probes come every second


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    # With the default of 5, a burst of clients makes others wait for seconds.
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[Any, ...],
        family: socket.AddressFamily,
        content: Callable[[str, str], Content],
    ) -> None:
        self.address_family = family
        self.content = content
        self._opened_s: dict[socket.socket, float] = {}
        super().__init__(address, _Handler)
        self.thread = threading.Thread(
            target=self.serve_forever, args=(LOOK_EVERY_S,), name="http", daemon=True
        )

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        self._opened_s[request] = monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """End what takes too long, and the oldest of too many; their threads close them.

        Called after each new connection, and every `LOOK_EVERY_S`.
        """
        before_s = monotonic() - MAX_CONNECTION_S
        connections = list(self._opened_s.copy().items())
        surplus = len(connections) - MAX_CONNECTIONS
        for number, (connection, since_s) in enumerate(connections):
            if number < surplus or since_s < before_s:
                with suppress(OSError):  # it has ended by itself
                    connection.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        self._opened_s.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """Tell of a bug; a client that went away is none."""
        error = sys.exception()
        if error and not isinstance(error, OSError):
            say(BUG, error=type(error).__name__, where=where(error.__traceback__))

    def stop(self) -> None:
        if self.thread.is_alive():
            self.shutdown()
            self.thread.join(STOP_S)
        self.server_close()


def _listen(host: str, port: int, content: Callable[[str, str], Content]) -> _Server:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        try:
            return _Server(address, family, content)
        except OSError as error:
            if error.errno != EADDRINUSE:
                raise
            return _Server((address[0], 0, *address[2:]), family, content)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port} ({error.strerror}): set http.host to an"
            " address of this machine, such as 127.0.0.1, and the port above 1023; or"
            " http.enabled: false"
        ) from None
