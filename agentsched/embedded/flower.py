"""Owns Flower beside the local stack: starts it on loopback, watches it, ends it.

Nothing depends on it, and it decides nothing: where it does not start, the rest goes on.
"""

import os
import sys
import time
from pathlib import Path

from agentsched.embedded.child_process import GuardedChild
from agentsched.embedded.loopback import LOOPBACK, answers, free_port
from agentsched.embedded.restarts import Restarts
from agentsched.embedded.services import environment
from agentsched.embedded.stoppable import Stoppable
from agentsched.errors import AgentSchedError
from agentsched.flower.login import Login, flower_login

USUAL_PORT = 5555
"""Flower's own default; another one where it is taken."""
START_S = 60.0
POLL_S = 0.05
NAME = "Flower"


class EmbeddedFlower(Stoppable):
    """Flower for the workers of one configuration; nothing runs before `launch`.

    Args:
        root: it runs in this folder and logs into its `logs`.
        config_path: the configuration.
    """

    def __init__(self, root: Path, config_path: Path) -> None:
        self.login: Login | None = None
        """None before `launch`."""
        self._root = root
        self._config_path = config_path
        self._port = USUAL_PORT
        self._child: GuardedChild | None = None
        self._restarts = Restarts()

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{LOOPBACK}:{self._port}"

    def launch(self) -> None:
        """Start it; returns before it answers.

        Raises:
            ConfigurationError: there is no login, and none can be made.
            EmbeddedError: it did not start.
        """
        self.login = flower_login()
        self._port = free_port(self._port)
        # The command line wins over Flower's variables and its file.
        options = [f"--address={LOOPBACK}", f"--port={self._port}"]
        self._child = GuardedChild(
            [sys.executable, "-m", "celery", "-A", "agentsched", "flower", *options],
            log_path=self._root / "logs" / "flower.log",
            name=NAME,
            env=self._environment(self.login),
            cwd=self._root,
        )

    def wait(self) -> None:
        """Wait until it answers; blocks. Raises EmbeddedError when it does not."""
        deadline = time.monotonic() + START_S
        while self._child and not answers(self._port):
            if not self._child.alive:
                raise self._child.failure("has ended at its start")
            if time.monotonic() > deadline:
                raise self._child.failure(f"did not answer within {START_S:g} s")
            time.sleep(POLL_S)

    def tend(self) -> list[str]:
        """Start it again when it has died, with a growing pause; call it now and then.

        Returns:
            A line for a death that was noticed now, a start, and one that failed.
        """
        if self._child is None or self._child.alive:
            return []
        now_s, noticed = time.monotonic(), []
        pause_s = self._restarts.noticed(NAME, now_s)
        if pause_s is not None:
            failure = self._child.failure("has ended")
            noticed.append(f"{failure}\n{NAME} starts again in {pause_s:g} s")
        if self._restarts.due(NAME, now_s):
            self._child.stop()
            try:
                self.launch()
                noticed.append(f"{NAME} starts at {self.address}")
            except AgentSchedError as error:
                noticed.append(str(error))
        return noticed

    def ask_to_stop(self) -> None:
        """Send it SIGTERM; does not block."""
        if self._child:
            self._child.ask_to_stop()

    def stop(self) -> None:
        """End it; blocks; may be called twice."""
        if self._child:
            self._child.stop()
            self._child = None

    def _environment(self, login: Login) -> dict[str, str]:
        """As other services have it, and with this login instead of Flower's options.

        Flower itself would print a password that it had to make: into its log.
        """
        kept = {k: v for k, v in os.environ.items() if not k.startswith("FLOWER_")}
        secrets = {"FLOWER_BASIC_AUTH": login.basic_auth}
        return environment(kept, self._config_path, secrets)
