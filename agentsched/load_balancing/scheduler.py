"""Owns the published `Scheduler`: a bridge and Celery workers behind three calls.

The same processes as in production run under the hood, as children; they end with
this process, also when it is killed.
"""

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from agentsched import forks
from agentsched.config.settings import ModelSettings, Settings
from agentsched.embedded.services import Services
from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.errors import AgentSchedError, ConfigurationError
from agentsched.ledger.model_totals import NOTHING_YET, Totals, totals_now
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.load_balancing.model_stats import model_stats
from agentsched.load_balancing.scheduler_config import SchedulerConfig, settings_of
from agentsched.load_balancing.served_models import ServedModels
from agentsched.types import ModelStats, TaskType

__all__ = ["Scheduler", "SchedulerConfig"]

WATCH_S = 0.5
CLOSE_S = 60.0
"""More than the longest orderly stop: bridge and workers drain, then Redis ends."""


@dataclass
class _Running:
    """What exists between the start and the end of `run`."""

    services: Services
    ledger: RedisLedger
    before: Totals = NOTHING_YET
    """What stood in the ledger at the start."""


class Scheduler:
    """Answers the requests of its input topics with the models that it is given.

    What `run` starts belongs to the process that called it. In a forked child the same
    instance has the same models and runs nothing, as before `run`.

    Args:
        config: see `SchedulerConfig`. Nothing is started before `run`.
    """

    def __init__(self, config: SchedulerConfig | None = None) -> None:
        self._config = config or SchedulerConfig()
        self._served = ServedModels()
        self._begin()
        forks.in_child(self, Scheduler._begin_anew)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._ended = threading.Event()
        self._root: Path | None = None
        self._redis_url = self._config.redis_url or os.environ.get("REDIS_URL") or ""
        self._valkey: EmbeddedValkey | None = None
        self._running: _Running | None = None
        self._last_stats: dict[str, ModelStats] = {}

    def _begin_anew(self) -> None:
        """In a forked child; see `agentsched.forks`."""
        was_closed = self._closing.is_set()
        self._begin()
        if was_closed:
            self._closing.set()

    def add_llm_model(
        self,
        model_id: str,
        capacity: int,
        supported_tasks: Sequence[TaskType | str],
        base_url: str,
        api_key: str | None = None,
    ) -> None:
        """Serve a model; before or after `run`.

        Args:
            model_id: the name that requests and the model server use.
            capacity: requests in flight at once, 1 or more.
            supported_tasks: the task types that it answers.
            base_url: of an OpenAI-compatible server, up to and with `/v1`.
            api_key: goes to the worker's environment only, into no file. None: that of
                the models which the same server serves already, if it has one.

        Raises:
            ConfigurationError: a value is wrong, or the model is known already.
        """
        with self._lock:
            model = self._served.add(
                model_id, capacity, supported_tasks, base_url, api_key
            )
            try:
                settings = self._settings()
            except ConfigurationError:
                self._served.remove(model_id)
                raise
            if self._running:
                self._write_config(settings)
                self._running.services.reload()
                self._start_worker(self._running.services, model)

    def run(self) -> None:
        """Answer requests until `close`; blocks. Children that die are started again.

        Raises:
            AgentSchedError: no model was added, or a part did not start.
        """
        try:
            with self._lock:
                if self._closing.is_set():
                    return
                self._start()
            while not self._closing.wait(WATCH_S):
                with self._lock:
                    if self._running:
                        self._running.services.restart_dead()
        finally:
            self._stop()

    def get_model_stats(self) -> dict[str, ModelStats]:
        """Return what every model has done since `run`; after `close` the last state.

        Where Redis lost its data since then, what was done after that.
        """
        with self._lock:
            if running := self._running:
                now = totals_now(running.ledger)
                self._last_stats = model_stats(running.before, now, self._names())
            return {
                name: self._last_stats.get(name, ModelStats()) for name in self._names()
            }

    def close(self) -> None:
        """Finish what is in flight and end all that `run` started; blocks; repeatable.

        Requests that were not started stay in Kafka for the next run.
        """
        self._closing.set()
        with self._lock:
            began = self._root is not None
        if began:
            self._ended.wait(CLOSE_S)

    def _start(self) -> None:
        if not self._served.all:
            raise ConfigurationError("add a model with add_llm_model() before run()")
        root = self._root = Path(tempfile.mkdtemp(prefix="agentsched-"))
        if not self._redis_url:
            self._valkey = EmbeddedValkey(root / "valkey", root / "valkey.log")
            self._redis_url = self._valkey.url
        settings = self._settings()
        self._write_config(settings)
        ledger = RedisLedger.of(settings)
        services = Services(root, self._config_path, settings.timing.drain_s)
        self._running = _Running(services, ledger)
        self._running.before = totals_now(ledger)
        services.start_bridge()
        for model in self._served.all:
            self._start_worker(services, model)

    def _stop(self) -> None:
        with self._lock:
            running = self._running
            if running:
                running.services.stop()
                with contextlib.suppress(AgentSchedError):
                    self.get_model_stats()
                self._running = None
                running.ledger.close()
            if self._valkey:
                self._valkey.stop()
            if self._root:
                shutil.rmtree(self._root, ignore_errors=True)
        self._ended.set()

    @property
    def _config_path(self) -> Path:
        if self._root is None:
            raise AgentSchedError("the scheduler is not running")
        return self._root / "agentsched.yaml"

    def _start_worker(self, services: Services, model: ModelSettings) -> None:
        services.start_worker(model.queue, self._served.environment(model.name))

    def _names(self) -> list[str]:
        return [model.name for model in self._served.all]

    def _settings(self) -> Settings:
        return settings_of(self._config, self._served.all, self._redis_url)

    def _write_config(self, settings: Settings) -> None:
        text = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
        # mkdtemp made the folder for its owner only; the URL may hold a password.
        self._config_path.write_text(text, "utf-8")
