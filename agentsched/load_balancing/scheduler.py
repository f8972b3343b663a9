"""Owns the published `Scheduler`: a bridge and Celery workers behind three calls.

The same processes as in production run under the hood, as children; they end with
this process, also when it is killed.
"""

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import ValidationError

from agentsched.config.section import named
from agentsched.config.settings import (
    DEFAULT_INPUT_TOPICS,
    ConnectionPoolSettings,
    EndpointSettings,
    KafkaSettings,
    LimitSettings,
    ModelSettings,
    RedisSettings,
    Settings,
)
from agentsched.embedded.services import Services
from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.errors import AgentSchedError, ConfigurationError
from agentsched.ledger.records import ModelTotals
from agentsched.ledger.redis import RedisLedger
from agentsched.types import ModelStats, TaskType

WATCH_S = 0.5
CLOSE_S = 60.0
"""More than the longest orderly stop: bridge and workers drain, then Redis ends."""
NO_TOTALS = ModelTotals(in_flight=0, calls=0, failed=0, model_ms=0)


@dataclass(frozen=True)
class SchedulerConfig:
    """Where a `Scheduler` reads requests and writes replies.

    Attributes:
        bootstrap_servers: Kafka's addresses: a list, or one text with commas.
        input_topics: topics with requests; three of them are high, medium, low.
        output_topic: the topic of the replies.
        max_workers: requests in flight over all models together.
        redis_url: None: $REDIS_URL, and without it a Redis of its own, which ends
            with the scheduler.
        group_id: the consumer group of the bridge.
        kafka_properties: more librdkafka keys, such as `security.protocol`.
    """

    bootstrap_servers: str | Sequence[str] = "localhost:9092"
    input_topics: Sequence[str] = DEFAULT_INPUT_TOPICS
    output_topic: str = "results"
    max_workers: int = 10
    redis_url: str | None = None
    group_id: str = "agentsched-bridge"
    kafka_properties: Mapping[str, str | int | float | bool] = field(
        default_factory=dict, repr=False
    )


@dataclass
class _Running:
    """What exists between the start and the end of `run`."""

    services: Services
    ledger: RedisLedger
    before: dict[str, ModelTotals] = field(default_factory=dict)


class Scheduler:
    """Answers the requests of its input topics with the models that it is given.

    Args:
        config: see `SchedulerConfig`. Nothing is started before `run`.
    """

    def __init__(self, config: SchedulerConfig | None = None) -> None:
        self._config = config or SchedulerConfig()
        self._models: dict[str, ModelSettings] = {}
        self._keys: dict[str, dict[str, str]] = {}
        self._variables: dict[tuple[str, str | None], str] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._ended = threading.Event()
        self._root: Path | None = None
        self._redis_url = self._config.redis_url or os.environ.get("REDIS_URL") or ""
        self._valkey: EmbeddedValkey | None = None
        self._running: _Running | None = None
        self._last_stats: dict[str, ModelStats] = {}

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
            if model_id in self._models:
                raise ConfigurationError(f"model {model_id!r} has been added already")
            api_key = api_key or self._key_of(base_url)
            variable = self._variable(base_url, api_key)
            model = _model(
                model_id, capacity, supported_tasks, base_url, api_key and variable
            )
            self._models[model_id] = model
            self._keys[model_id] = {variable: api_key} if api_key else {}
            try:
                settings = self._settings()
            except ConfigurationError:
                del self._models[model_id], self._keys[model_id]
                raise
            if self._running:
                self._write_config(settings)
                self._running.services.reload()
                self._running.services.start_worker(model.queue, self._keys[model_id])

    def _variable(self, base_url: str, api_key: str | None) -> str:
        """Name the variable of a key; models of one endpoint share it."""
        place = (base_url.rstrip("/"), api_key)
        return self._variables.setdefault(
            place, f"AGENTSCHED_KEY_{len(self._variables)}"
        )

    def _key_of(self, base_url: str) -> str | None:
        """Return the key of an endpoint: one server has one, whatever it serves."""
        for name, model in self._models.items():
            if model.endpoints[0].base_url == base_url.rstrip("/"):
                return next(iter(self._keys[name].values()), None)
        return None

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
        """Return what every model has done since `run`; after `close` the last state."""
        with self._lock:
            if self._running:
                self._last_stats = _stats(self._running, list(self._models))
            return {
                name: self._last_stats.get(name, ModelStats()) for name in self._models
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
        if not self._models:
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
        self._running.before = dict(ledger.totals(ledger.open_epoch()))
        services.start_bridge()
        for name, model in self._models.items():
            services.start_worker(model.queue, self._keys[name])

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

    def _write_config(self, settings: Settings) -> None:
        text = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
        # mkdtemp made the folder for its owner only; the URL may hold a password.
        self._config_path.write_text(text, "utf-8")

    def _settings(self) -> Settings:
        """Build the configuration of all services; raises ConfigurationError."""
        config, models = self._config, tuple(self._models.values())
        servers = config.bootstrap_servers
        most = max((model.capacity for model in models), default=1)
        pool = ConnectionPoolSettings()
        with _explained():
            return Settings(
                kafka=KafkaSettings(
                    bootstrap_servers=tuple(
                        servers.split(",") if isinstance(servers, str) else servers
                    ),
                    input_topics=tuple(config.input_topics),
                    output_topic=config.output_topic,
                    group_id=config.group_id,
                    properties=dict(config.kafka_properties),
                ),
                # Its own Redis has an address only when it runs.
                redis=(
                    RedisSettings(url=self._redis_url)
                    if self._redis_url
                    else RedisSettings()
                ),
                models=models,
                limits=LimitSettings(max_in_flight=config.max_workers),
                connection_pool=ConnectionPoolSettings(
                    max_connections=max(pool.max_connections, most)
                ),
            )


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn what validation says into one error of ours, without the values."""
    try:
        yield
    except ValidationError as error:
        lines = [
            f"{named(problem['loc'])}: {problem['msg']}".removeprefix(": Value error, ")
            for problem in error.errors(include_input=False)
        ]
        raise ConfigurationError("; ".join(lines)) from None


def _model(
    name: str,
    capacity: int,
    tasks: Sequence[TaskType | str],
    base_url: str,
    key_variable: str | None,
) -> ModelSettings:
    with _explained():
        endpoint = EndpointSettings(
            base_url=base_url, capacity=capacity, api_key_env=key_variable
        )
        return ModelSettings.model_validate(
            {"name": name, "task_types": tuple(tasks), "endpoints": (endpoint,)}
        )


def _stats(running: _Running, models: Sequence[str]) -> dict[str, ModelStats]:
    """Count since this scheduler's start: the ledger may be older."""
    totals = running.ledger.totals(running.ledger.open_epoch())
    stats = {}
    for name in models:
        now = totals.get(name, NO_TOTALS)
        before = running.before.get(name, NO_TOTALS)
        calls = now.calls - before.calls
        model_s = (now.model_ms - before.model_ms) / 1000
        stats[name] = ModelStats(
            current_load=now.in_flight,
            total_processed_tasks=calls,
            average_processing_time=model_s / calls if calls else 0.0,
        )
    return stats
