"""One port of a process: /metrics, /healthz, /readyz over plain HTTP; nothing else.

Bounded: a connection lives for seconds and has a thread of few; a new one pushes out the
oldest, so that slow readers keep nobody from the pages.
"""

import json
import socket
import sys
import threading
from collections.abc import Mapping
from errno import EADDRINUSE
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from agentsched.config.settings import HttpSettings
from agentsched.errors import ConfigurationError
from agentsched.telemetry.events import BUG, HTTP_LISTENING
from agentsched.telemetry.health import Check, Health
from agentsched.telemetry.logs import say, where

CONNECTIONS_MAX = 16
CONNECTION_MAX_S = 10.0
READ_TIMEOUT_S = 3.0
LOOK_EVERY_S = 0.2
"""How often old connections and the order to stop are looked for."""
STOP_S = 5.0
JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
HELP = "/metrics  /healthz  /readyz\n"


class Page:
    """The port; it listens from its making on, until `stop`."""

    def __init__(
        self,
        settings: HttpSettings,
        port: int,
        registry: CollectorRegistry,
        health: Health,
    ) -> None:
        """Take the port, or a free one where it is taken, and serve.

        Args:
            settings: the section `http` of the configuration.
            port: the one that is wanted.
            registry: what /metrics shows.
            health: what the other two show.

        Raises:
            ConfigurationError: there is no such host here, or the port is not for us.
        """
        self._server = _listen(settings.host, port)
        self._server.page = _Content(registry, health)
        host, bound = self._server.server_address[:2]
        self.address = f"{_shown(str(host))}:{bound}"
        """`host:port`, where it really listens."""
        say(
            HTTP_LISTENING,
            address=self.address,
            wanted=port if port not in (0, bound) else None,
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(LOOK_EVERY_S,),
            name="http",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """Close the port and all connections; again is harmless."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(STOP_S)
        self._server.server_close()


class _Content:
    """The bodies of the pages; one metrics page is made at a time."""

    def __init__(self, registry: CollectorRegistry, health: Health) -> None:
        self._registry = registry
        self._health = health
        self._lock = threading.Lock()

    def of(self, path: str, accept: str) -> tuple[int, str, bytes]:
        """Return status, content type and body."""
        match path.partition("?")[0]:
            case "/metrics":
                encode, kind = choose_encoder(accept)
                with self._lock:
                    return 200, kind, encode(self._registry)
            case "/healthz":
                return _verdict("live", self._health.live())
            case "/readyz":
                return _verdict("ready", self._health.ready())
            case "/":
                return 200, TEXT, HELP.encode()
        return 404, TEXT, f"not here; there is: {HELP}".encode()


def _verdict(name: str, checks: Mapping[str, Check]) -> tuple[int, str, bytes]:
    good = all(check.ok for check in checks.values())
    shown = {
        key: {"ok": check.ok} | ({"detail": check.detail} if check.detail else {})
        for key, check in checks.items()
    }
    body = json.dumps({name: good, "checks": shown}, indent=2) + "\n"
    return 200 if good else 503, JSON, body.encode()


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD; HTTP/1.0, so every connection ends with its answer."""

    timeout = READ_TIMEOUT_S
    server: "_Server"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        accept = self.headers.get("Accept", "")
        status, kind, body = self.server.page.of(self.path, accept)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def version_string(self) -> str:
        """Tell no versions."""
        return "agentsched"

    def log_message(self, *_: object) -> None:
        """Log nothing: probes come every second."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # With the default of 5, a burst of clients makes others wait for seconds.
    request_queue_size = 128
    page: _Content

    def __init__(self, address: tuple[str, int], family: socket.AddressFamily) -> None:
        self.address_family = family
        self._open: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without the name look-up of the base class, which may block."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = map(str, self.server_address[:2])  # type: ignore[assignment]

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Give the connection a thread; the oldest goes where there are too many."""
        with self._lock:
            self._open[request] = monotonic()
            surplus = list(self._open)[:-CONNECTIONS_MAX]
        self._cut(surplus)
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """End what takes too long; called every `LOOK_EVERY_S`."""
        before = monotonic() - CONNECTION_MAX_S
        with self._lock:
            late = [one for one, since in self._open.items() if since < before]
        self._cut(late)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        """Forget a connection, then close it."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that went away; anything else is a bug."""
        kind, error, trace = sys.exc_info()
        if kind and not isinstance(error, OSError):
            say(BUG, error=kind.__name__, where=where(trace))

    def _cut(self, connections: list[socket.socket]) -> None:
        """Have their threads end; those close them."""
        for one in connections:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has ended by itself


def _listen(host: str, port: int) -> _Server:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        resolved = str(address[0])
        try:
            return _Server((resolved, port), family)
        except OSError as error:
            if error.errno != EADDRINUSE:
                raise
            return _Server((resolved, 0), family)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port} ({error.strerror}): set http.host to an"
            " address of this machine, such as 127.0.0.1, and the port above 1023; or"
            " http.enabled: false"
        ) from None


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
