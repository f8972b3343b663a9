"""The model server, seen from the suite: starts it, sets its delay, takes its calls."""

import json
import sys
import urllib.request
from pathlib import Path

from agentsched.embedded.child_process import GuardedChild
from agentsched.embedded.stoppable import Stoppable
from benchmarks.suite.numbers import Call

START_S = 30.0


class Model(Stoppable):
    """A running model server (`model_server.py`) in a process of its own."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.child = GuardedChild(
            [sys.executable, "-m", "benchmarks.suite.model_server"],
            log_path=folder / "model.log",
            env=env,
            cwd=folder,
            announces=True,
        )
        self._root = f"http://127.0.0.1:{int(self.child.read_line(START_S))}"
        self.base_url = f"{self._root}/v1"

    def set_delay(self, delay_ms: float) -> None:
        """Let each call that begins from now on take so long."""
        self._ask(f"/delay/{delay_ms:g}", b"")

    def running(self) -> int:
        """Return how many calls run now."""
        return int(self._ask("/running"))

    def take_calls(self) -> list[Call]:
        """Return the calls since the last time."""
        return [Call(*each) for each in json.loads(self._ask("/calls"))]

    def stop(self) -> None:
        """End it; may be called twice."""
        self.child.stop()

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        with urllib.request.urlopen(self._root + path, body, timeout=60) as answer:
            return answer.read()
