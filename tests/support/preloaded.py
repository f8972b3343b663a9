"""Runs `python -m agentsched ...` without importing it each time, which costs 0.4 s of a core.

A process that has imported it (`preloaded_server.py`) forks for each command. What a
command is given, says and returns is that of a new process; the commands of pages, of
the Quick Start and of the demo are new processes.
"""

import atexit
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support import leftovers

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 240


def run_preloaded(
    words: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    text_in: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a module with arguments, as `python -m` does, to its end; blocks.

    Args:
        words: the module and its arguments.
        cwd: where.
        env: its whole environment; PYTHONPATH comes too late.
        text_in: what it reads; None: the stdin of no terminal, empty.

    Raises:
        TimeoutError: it ran for 240 s.
    """
    order = json.dumps({"words": list(words), "cwd": str(cwd), "env": dict(env)})
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as stdin,
        tempfile.TemporaryFile("w+", encoding="utf-8") as stdout,
        tempfile.TemporaryFile("w+", encoding="utf-8") as stderr,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line,
    ):
        stdin.write(text_in or "")
        stdin.seek(0)
        line.settimeout(TIMEOUT_S)
        line.connect(_server())
        files = [stdin.fileno(), stdout.fileno(), stderr.fileno()]
        socket.send_fds(line, [order.encode()], files)
        answer = line.recv(16)
        code = int(answer) if answer else -1
        for file in (stdout, stderr):
            file.seek(0)
        said, complained = stdout.read(), stderr.read()
        return subprocess.CompletedProcess(list(words), code, said, complained)


@functools.cache
def _server() -> bytes:
    """The address of this process's own, which ends with it."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(b"\0agentsched-test-%d" % os.getpid())
    listening.listen(16)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.preloaded_server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=[listening.fileno()],
        env={**os.environ, "LISTENING": str(listening.fileno())},
        start_new_session=True,
    )
    leftovers.spare(process.pid)
    address = listening.getsockname()
    listening.close()

    def end() -> None:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()

    atexit.register(end)
    return bytes(address)
