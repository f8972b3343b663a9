"""An installation as its operator builds it: a file, topics, and commands that go on.

`System` makes all that by itself; here the commands are those of a page.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from agentsched.embedded.child_process import GuardedChild
from agentsched.embedded.valkey import EmbeddedValkey
from tests.support.guides import Reader
from tests.support.preloaded import run_preloaded
from tests.support.running_kafka import RunningKafka
from tests.support.waiting import eventually

PATIENCE_S = 90


class Installation:
    """A folder with an agentsched.yaml, a Redis, and what was started; a context manager.

    Kafka and Redis are told by variables, which win over the file.

    Args:
        folder: of everything.
        kafka: real Kafka.
        prefix: of the topics; empty: their usual names.
    """

    def __init__(self, folder: Path, kafka: RunningKafka, prefix: str = "") -> None:
        self.folder = folder
        self.children: dict[str, GuardedChild] = {}
        self._kafka = kafka
        self._prefix = prefix
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        valkey = EmbeddedValkey(self.folder / "valkey", self.folder / "valkey.log")
        self._stack.enter_context(valkey)
        names = [f"{self._prefix}{cls}_priority" for cls in ("high", "medium", "low")]
        environ = {
            "BOOTSTRAP_SERVERS": self._kafka.bootstrap,
            "REDIS_URL": valkey.url,
            "INPUT_TOPICS": ",".join(names),
            "OUTPUT_TOPIC": f"{self._prefix}results",
            "AGENTSCHED__KAFKA__GROUP_ID": f"{self._prefix}bridge",
            # A fixed port may be another installation's on this machine.
            "AGENTSCHED__HTTP__BRIDGE_PORT": "0",
            "AGENTSCHED__HTTP__WORKER_PORT": "0",
        }
        self.reader = Reader(self.folder, environ)
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children.values():
            child.ask_to_stop()
        for child in self.children.values():
            child.stop()
        self._stack.close()

    def configure(self, text: str, told: Mapping[str, str]) -> None:
        """Write a page's YAML, with addresses that there are."""
        for before, after in told.items():
            assert before in text
            text = text.replace(before, after)
        (self.folder / "agentsched.yaml").write_text(text, "utf-8")

    def serve(self, command: str, name: str) -> GuardedChild:
        """Start a command that goes on, or start it again under its name."""
        self.children[name] = GuardedChild(
            ["bash", "-c", f"exec {command}"],
            log_path=self.folder / "logs" / f"{name}.log",
            env=self.reader.environ,
            cwd=self.folder,
        )
        return self.children[name]

    def status(self) -> dict[str, Any]:
        """What `agentsched status` says; its exit code is 1 while there is a problem."""
        said = run_preloaded(
            ["agentsched", "status", "--json"],
            cwd=self.folder,
            env=self.reader.environ,
        )
        seen: dict[str, Any] = json.loads(said.stdout)
        return seen

    def wait_until_well(self) -> dict[str, Any]:
        """Wait until a bridge runs and every model has workers."""

        def well() -> dict[str, Any] | None:
            seen = self.status()
            # A pool without workers is no problem as long as nothing waits for it.
            served = all(one["slots"] for one in seen["models"])
            return seen if served and seen["problems"] == [] else None

        seen = eventually(
            well, timeout_s=PATIENCE_S, message=f"all is well; logs: {self.folder}/logs"
        )
        assert seen is not None
        return seen
