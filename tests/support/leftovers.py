"""Finds the processes that tests have started and not ended, by a mark that they inherit."""

import contextlib
import os
import signal
from pathlib import Path

from tests.support.processes import is_running

MARK = "TEST_PROCESS"
"""The variable in the environment of every process that a pytest process starts."""
_spared: set[int] = set()


def mark() -> None:
    """Mark what this process starts from now on."""
    os.environ[MARK] = str(os.getpid())


def spare(pid: int) -> None:
    """A process that is to live as long as this one: no test has left it behind."""
    _spared.add(pid)


def found() -> dict[int, str]:
    """Process id -> the test that started it, and its command line."""
    ours = f"{MARK}={os.getpid()}"
    left = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) in {os.getpid(), *_spared}:
            continue
        # Processes come and go meanwhile; some are not ours to look at.
        with contextlib.suppress(OSError):
            environ = (process / "environ").read_bytes().decode("utf-8", "replace")
            variables = environ.split("\0")
            if ours in variables and is_running(int(process.name)):
                test = [v for v in variables if v.startswith("PYTEST_CURRENT_TEST=")]
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                left[int(process.name)] = f"{''.join(test)[20:]}: {line}"
    return left


def end(pids: dict[int, str]) -> None:
    """So that the next module does not suffer for it."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
