"""Owns the processes of AgentSched itself: one bridge, one worker for each queue.

It starts them with one configuration file, restarts what dies, and ends them in the
order that loses nothing: the bridge drains, then the workers finish.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from agentsched.config.environment import CONFIG_VARIABLE, OUR_ENVIRONMENT
from agentsched.embedded.child_process import GuardedChild
from agentsched.embedded.restarts import Restarts
from agentsched.errors import EmbeddedError

logger = logging.getLogger("agentsched.services")

READY_POLL_S = 0.05
STOP_MARGIN_S = 10.0
"""Beyond the drain time of bridge and workers, before they are killed."""
WORKER_OPTIONS = ("--without-gossip", "--without-mingle", "--loglevel", "WARNING")


def environment(
    environ: Mapping[str, str], config_path: Path, secrets: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a service: ours, with this file's settings only.

    Args:
        environ: the environment to start from.
        config_path: the one configuration that counts.
        secrets: variable -> API key; the file names the variable only.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name not in OUR_ENVIRONMENT and not name.startswith("AGENTSCHED_")
    }
    return kept | {CONFIG_VARIABLE: str(config_path)} | dict(secrets)


class Services:
    """Bridge and workers over one configuration file.

    Args:
        root: they run in this folder and log into its `logs`.
        config_path: the configuration.
        drain_s: how long they may take to finish what is in flight.
    """

    def __init__(self, root: Path, config_path: Path, drain_s: float) -> None:
        self.log_dir = root / "logs"
        self._root = root
        self._config_path = config_path
        self._stop_s = drain_s + STOP_MARGIN_S
        self._commands: dict[str, tuple[list[str], dict[str, str]]] = {}
        self._children: dict[str, GuardedChild] = {}
        self._restarts = Restarts()

    def start_bridge(self) -> None:
        """Start the bridge; raises EmbeddedError."""
        self._start("bridge", ["-m", "bridge"], {})

    def start_worker(
        self, queue: str, secrets: Mapping[str, str] | None = None
    ) -> None:
        """Start the worker of a queue; raises EmbeddedError.

        Args:
            queue: what it serves; its concurrency is the model's capacity.
            secrets: the variables that hold the keys of its endpoints.
        """
        options = ["-Q", queue, "-n", f"{queue}@%h", *WORKER_OPTIONS]
        command = ["-m", "celery", "-A", "agentsched", "worker", *options]
        self._start(f"worker-{queue}", command, dict(secrets or {}))

    def reload(self) -> None:
        """Have the bridge read the configuration again."""
        self._children["bridge"].signal(signal.SIGHUP)

    def wait_for(
        self,
        models: Iterable[str],
        live_slots: Callable[[], Mapping[str, int]],
        timeout_s: float,
    ) -> None:
        """Wait until every model has a live worker; blocks.

        Raises:
            EmbeddedError: a process has ended, or the time is over.
        """
        deadline, missing = time.monotonic() + timeout_s, set(models)
        while missing:
            if failure := self.failure():
                raise failure
            if time.monotonic() > deadline:
                names = ", ".join(sorted(missing))
                raise EmbeddedError(
                    f"no worker of {names} was live after {timeout_s:g} s;"
                    f" the logs are in {self.log_dir}"
                )
            time.sleep(READY_POLL_S)
            live = live_slots()
            missing = {name for name in missing if not live.get(name)}

    def failure(self) -> EmbeddedError | None:
        """Return the error that names the first process that has ended, or None."""
        for child in self._children.values():
            if not child.alive:
                return child.failure("has ended")
        return None

    def restart_dead(self) -> list[str]:
        """Start again what has ended, with a growing pause; call it now and then.

        Returns:
            A line for each death that was noticed now, with the log's end.
        """
        now_s, noticed = time.monotonic(), []
        for name, child in list(self._children.items()):
            if child.alive:
                continue
            pause_s = self._restarts.noticed(name, now_s)
            if pause_s is not None:
                failure = child.failure(f"has ended and starts again in {pause_s:g} s")
                noticed.append(str(failure))
                logger.error("%s", failure)
            if self._restarts.due(name, now_s):
                child.stop()
                self._start(name, *self._commands[name])
        return noticed

    def stop(self) -> None:
        """End all in order; blocks; may be called twice."""
        bridge = self._children.pop("bridge", None)
        if bridge:
            bridge.stop(self._stop_s)
        for worker in self._children.values():
            worker.ask_to_stop()
        for worker in self._children.values():
            worker.stop(self._stop_s)
        self._children.clear()

    def _start(self, name: str, command: list[str], secrets: dict[str, str]) -> None:
        self.log_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._commands[name] = (command, secrets)
        self._children[name] = GuardedChild(
            [sys.executable, *command],
            log_path=self.log_dir / f"{name}.log",
            env=environment(os.environ, self._config_path, secrets),
            # Not the user's folder: a `bridge/` there would be taken for ours.
            cwd=self._root,
        )
