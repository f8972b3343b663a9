"""Owns one guarded process: starts it, signals it, stops it; knows not what it is."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from agentsched import forks
from agentsched.embedded.log_file import LogFile
from agentsched.embedded.stoppable import Stoppable
from agentsched.errors import EmbeddedError

GUARD = Path(__file__).with_name("guard.py")
GUARD_GRACE_S = 10.0
KILL_WAIT_S = 5.0


class GuardedChild(Stoppable):
    """A process that ends when ours does, also after `kill -9` of ours.

    It runs in a session of its own: Ctrl-C in our terminal does not reach it.

    Args:
        argv: the command; no secret belongs here, every user of the machine sees it.
        log_path: stderr, and stdout unless `announces`, are appended to it.
        env: the whole environment; None: ours.
        cwd: where it runs; None: where we do.
        name: what errors call it; default: the name of the log file.
        announces: keep stdout, so that `read_line` can read what it announces.
        pass_fds: open files that the process inherits (a lock).

    Raises:
        EmbeddedError: the command could not be started.
    """

    def __init__(  # noqa: PLR0913  (all but two have a default)
        self,
        argv: Sequence[str],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        name: str = "",
        announces: bool = False,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name or log_path.stem
        self._asked_to_stop = False
        self._log = LogFile(log_path)
        output = "pipe" if announces else "log"
        guard = [sys.executable, "-I", "-S", str(GUARD), f"{GUARD_GRACE_S:g}", output]
        self._guard: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603
            [*guard, *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log.fileno(),
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
        line = self._stdout.readline()
        if not line.strip().isdigit():
            self.stop(timeout_s=0)
            raise EmbeddedError(f"{self.name} did not start; {self._log.quote()}")
        self.pid = int(line)
        """The process itself, not its guard."""
        forks.in_child(self, GuardedChild._let_go)

    def _let_go(self) -> None:
        """In a forked child: the life line is the parent's alone; see `agentsched.forks`."""
        if self._guard.stdin is not None:
            # Its own `close` takes a lock, which another thread may have held.
            os.close(self._guard.stdin.fileno())
            forks.leave(self._guard.stdin)

    @property
    def _stdout(self) -> IO[bytes]:
        if self._guard.stdout is None:  # pragma: no cover
            raise AssertionError
        return self._guard.stdout

    @property
    def log_path(self) -> Path:
        """Where the process writes its log."""
        return self._log.path

    @property
    def alive(self) -> bool:
        """Whether the process runs (a stopped one does)."""
        return self._guard.poll() is None

    @property
    def returncode(self) -> int | None:
        """None while it runs; 128 + n after signal n."""
        return self._guard.poll()

    def signal(self, number: int) -> None:
        """Send a signal to the process itself; nothing happens when it has ended."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def read_line(self, timeout_s: float) -> str:
        """Return the next line of stdout; only with `announces`. Blocks.

        Raises:
            EmbeddedError: it ended, or said nothing in time.
        """
        deadline, line = time.monotonic() + timeout_s, b""
        while not line.endswith(b"\n"):
            left = max(0.0, deadline - time.monotonic())
            # Unbuffered reads: `select` does not see what a buffer already holds.
            if not select.select([self._stdout], [], [], left)[0]:
                raise self.failure(f"said nothing for {timeout_s:g} s")
            byte = os.read(self._stdout.fileno(), 1)
            if not byte:
                raise self.failure("ended at its start")
            line += byte
        return line.decode("utf-8", "replace").strip()

    def failure(self, what: str) -> EmbeddedError:
        """Build the error that names this process, its log and the log's end."""
        return EmbeddedError(f"{self.name} {what}; {self._log.quote()}")

    def ask_to_stop(self) -> None:
        """Send SIGTERM, once: Celery takes a second one for impatience."""
        if not self._asked_to_stop:
            self._asked_to_stop = True
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)

    def stop(self, timeout_s: float = GUARD_GRACE_S) -> int:
        """End it: SIGTERM, after `timeout_s` SIGKILL for all its group. Blocks.

        May be called twice. Returns the exit code.
        """
        if self.alive and timeout_s > 0:
            self.ask_to_stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._guard.wait(timeout_s)
        if self.alive and hasattr(self, "pid"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        try:
            code = self._guard.wait(KILL_WAIT_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            code = self._guard.wait()
        self._close()
        return code

    def _close(self) -> None:
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None:
                pipe.close()
        self._log.close()
