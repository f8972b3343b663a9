"""TLS for tests: a certificate authority, and a front that puts TLS before any server."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

CHUNK = 65_536
HANDSHAKE = b"\x16"
"""First byte of a TLS client; no Redis command begins with it."""


class Authority:
    """A certificate authority with one server certificate, made by `openssl`.

    Args:
        folder: for keys and certificates.
        host: the name or address in the server's certificate.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca, self.cert, self.key = (
            folder / name for name in ("ca.pem", "cert.pem", "key.pem")
        )
        kind = "IP" if host[0].isdigit() else "DNS"
        kind_of_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
        new = ["req", "-x509", *kind_of_key, "-nodes", "-days", "2"]
        openssl(
            *new,
            *("-subj", "/CN=Test authority"),
            *("-keyout", str(folder / "ca.key"), "-out", str(self.ca)),
        )
        openssl(
            *new,
            *("-subj", "/CN=test server", "-addext", f"subjectAltName={kind}:{host}"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-CA", str(self.ca), "-CAkey", str(folder / "ca.key")),
            *("-keyout", str(self.key), "-out", str(self.cert)),
        )

        self.chain = folder / "chain.pem"
        """Key and certificate in one file: what servers show."""
        self.show_valid()

    def show_valid(self) -> None:
        """Put the certificate into `chain`; a server reads it when it starts."""
        self.chain.write_text(self.key.read_text() + self.cert.read_text())

    def show_expired(self) -> None:
        """Put one into `chain` that ran out yesterday, the same else."""
        folder = self.chain.parent
        asked, expired = folder / "expired.csr", folder / "expired.pem"
        openssl(
            *("x509", "-x509toreq", "-copy_extensions", "copyall"),
            *("-in", str(self.cert), "-signkey", str(self.key), "-out", str(asked)),
        )
        openssl(
            *("x509", "-req", "-days", "-1", "-copy_extensions", "copyall"),
            *("-in", str(asked), "-CA", str(self.ca)),
            *("-CAkey", str(folder / "ca.key"), "-out", str(expired)),
        )
        self.chain.write_text(self.key.read_text() + expired.read_text())

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain)
        return context


def openssl(*arguments: str) -> None:
    """Run the command; skip the test where there is none, but never in CI."""
    if not shutil.which("openssl"):
        text = "NOT TESTED with TLS: no `openssl` here"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class TlsFront:
    """Listens with TLS and passes on to a port in plain text; a context manager.

    Args:
        authority: whose certificate it shows.
        target: the port behind it.
        plain: whether it takes plain connections, too (Sentinels watch over these).
    """

    def __init__(
        self, authority: Authority, target: int, *, plain: bool = False
    ) -> None:
        self.encrypted = 0
        """TLS connections so far."""
        self._context = authority.server_context()
        self._target = target
        self._plain = plain
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _start(self, run, *args) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self._open.add(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            encrypted = client.recv(1, socket.MSG_PEEK) == HANDSHAKE
            if encrypted:
                self._open.discard(client)
                client = self._context.wrap_socket(client, server_side=True)
                self._open.add(client)
                self.encrypted += 1
            if encrypted or self._plain:
                self._connect(client)
        self._open.discard(client)
        client.close()

    def _connect(self, client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._target)) as server:
            self._open.add(server)
            back = threading.Thread(target=self._pump, args=(server, client))
            back.start()
            self._pump(client, server)
            back.join()
            self._open.discard(server)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        """Pass on until one side ends, then end both."""
        with suppress(OSError):
            while data := source.recv(CHUNK):
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
