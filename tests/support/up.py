"""A running `agentsched up`, for tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.support.processes import writers
from tests.support.waiting import eventually


class Up:
    """Started at once.

    Args:
        root: its folder.
        options: more of the command line.
        environ: more of the environment; Flower's password is kept beside the root.
    """

    def __init__(
        self, root: Path, *options: str, environ: Mapping[str, str] | None = None
    ) -> None:
        self.root = root
        state = {"XDG_STATE_HOME": str(root.with_suffix(".state"))}
        self.environ = {**os.environ, **state, **(environ or {})}
        self._output = root.with_suffix(".txt")
        command = [sys.executable, "-m", "agentsched", "up", "--dir", str(root)]
        with self._output.open("wb") as file:
            self.process = subprocess.Popen(
                [*command, *options],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self.environ,
            )

    @property
    def output(self) -> str:
        return self._output.read_text("utf-8")

    def wait_for(self, text: str, timeout_s: float = 60) -> None:
        eventually(
            lambda: text in self.output or self.process.poll() is not None,
            timeout_s=timeout_s,
        )
        assert text in self.output

    def end(self, number: int = signal.SIGINT) -> None:
        """Ask for the orderly end, and insist on it."""
        self.process.send_signal(number)
        assert (self.process.wait(240), writers(self.root)) == (0, {}), self.output

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Whatever happens, nothing of it is left."""
        try:
            yield self
        finally:
            self.process.kill()
            self.process.wait()
            eventually(lambda: not writers(self.root), timeout_s=20)
