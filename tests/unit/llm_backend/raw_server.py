"""A TCP server that answers with scripted bytes: what no HTTP library would send."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Connection = Callable[[socket.socket], None]


def read_request(connection: socket.socket) -> bytes:
    """Read one request; empty when the client has closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Bytes of an HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class RawServer:
    """Each connection in turn is given to the next handler, on a thread of its own."""

    def __init__(self, *handlers: Connection) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._handlers = iter(handlers)
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self.requests: list[bytes] = []
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        for handler in self._handlers:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(handler, connection))
            self._threads.append(thread)
            thread.start()

    def _serve(self, handler: Connection, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            handler(connection)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(15)


@contextmanager
def raw_server(*handlers: Connection) -> Iterator[RawServer]:
    server = RawServer(*handlers)
    try:
        yield server
    finally:
        server.close()


def answering(*answers: bytes) -> Connection:
    """Answer one request after the other on a kept connection, then close it."""

    def handle(connection: socket.socket) -> None:
        for answer in answers:
            if not read_request(connection):
                return
            connection.sendall(answer)

    return handle


def closing_after(*answers: bytes) -> Connection:
    """Answer, then take one more request and close without a byte."""

    def handle(connection: socket.socket) -> None:
        answering(*answers)(connection)
        read_request(connection)

    return handle
