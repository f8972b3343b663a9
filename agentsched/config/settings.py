"""Every setting with its unit, default and bounds; constructing one reads nothing.

Settings are frozen and refuse unknown keys. `loading.py` fills them from the YAML
file and the environment.
"""

import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from agentsched.types import Priority, TaskType

DEFAULT_INPUT_TOPICS = ("high_priority", "medium_priority", "low_priority")


def queue_name(model: str) -> str:
    """Return the queue of a model: lower case, only a-z and 0-9 (gpt-4 -> gpt4)."""
    return re.sub(r"[^a-z0-9]", "", model.lower())


class Section(BaseModel):
    """A part of the configuration: frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class EndpointSettings(Section):
    """One base URL + key of an OpenAI-compatible server that serves a model."""

    base_url: str
    """Up to and with `/v1`; no user, password, query or fragment."""
    api_key_env: str | None = None
    """The environment variable that holds the key (read by workers only)."""
    api_key_file: str | None = None
    """A file that holds the key."""
    capacity: int = Field(default=4, ge=1, le=10_000)
    """Requests in flight at once, over all workers together."""

    @field_validator("base_url")
    @classmethod
    def _plain_http_url(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme not in {"http", "https"} or not url.hostname:
            msg = (
                "must be an http:// or https:// URL, such as http://127.0.0.1:30000/v1"
            )
            raise ValueError(msg)
        if url.username or url.password or url.query or url.fragment:
            msg = "must hold no user, password, query or fragment; use api_key_env"
            raise ValueError(msg)
        return value.rstrip("/")

    @property
    def name(self) -> str:
        """What ledger and metrics call this endpoint: its URL, which holds no secret."""
        return self.base_url


class ModelSettings(Section):
    """A name that callers use, the endpoints that serve it, and its queue."""

    name: str = Field(min_length=1, max_length=200)
    queue: str = ""
    """Default: the name, lower case, only a-z and 0-9."""
    task_types: tuple[TaskType, ...] = tuple(TaskType)
    fallbacks: tuple[str, ...] = ()
    endpoints: tuple[EndpointSettings, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _default_queue(cls, data: Any) -> Any:  # noqa: ANN401  (pydantic's signature)
        if isinstance(data, dict) and not data.get("queue") and data.get("name"):
            return data | {"queue": queue_name(str(data["name"]))}
        return data

    @field_validator("queue")
    @classmethod
    def _queue_is_plain(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", value):
            msg = "set `queue:` to a name of a-z, 0-9, '_', '.' or '-'"
            raise ValueError(msg)
        return value

    @property
    def capacity(self) -> int:
        """Requests in flight at once over all endpoints."""
        return sum(endpoint.capacity for endpoint in self.endpoints)


class AgentSettings(Section):
    """What is configured for one agent."""

    id: str
    model: str | None = None
    """Answers the agent's requests that name no model."""
    group: str | None = None
    weight: float = Field(default=1.0, gt=0)
    max_priority: Priority = Priority.HIGH


class KafkaSettings(Section):
    """Where requests come from and replies go to."""

    bootstrap_servers: tuple[str, ...] = ("localhost:9092",)
    input_topics: tuple[str, ...] = DEFAULT_INPUT_TOPICS
    output_topic: str = "results"
    reply_topics: tuple[str, ...] = ()
    """Topics that a request may name as `reply_topic`, beside the output topic."""
    group_id: str = "agentsched-bridge"
    group_protocol: Literal["classic", "consumer"] = "classic"
    """`consumer` is KIP-848 (Kafka 4.0 and later; the embedded broker needs it)."""
    session_timeout_s: float = Field(default=10.0, gt=0)
    """Classic protocol only: a bridge that is silent for so long loses its partitions."""
    fetch_wait_ms: int = Field(default=100, ge=1, le=1000)
    """How long the broker may wait for more before it answers a fetch; a real broker
    answers at once when something arrives, the embedded one does not (10 there)."""
    properties: dict[str, str | int | float | bool] = {}
    """More librdkafka keys, such as `security.protocol`; they win over ours."""


class RedisSettings(Section):
    """Where the ledger and Celery's queues live."""

    url: str = "redis://localhost:6379/0"


class LimitSettings(Section):
    """Bounds on every size, time and count."""

    ttl_s: float = Field(default=600.0, gt=0)
    """Time to live of a request that states none."""
    ttl_max_s: float = Field(default=86_400.0, gt=0)
    """Longer times to live are cut to this."""
    request_max_bytes: int = Field(default=1_048_576, ge=1024)
    reply_max_bytes: int = Field(default=1_048_576, ge=1024)
    ready_max_entries: int = Field(default=0, ge=0)
    """READY and RUNG over all bridges; 0: max(2,000, 4 x all capacities)."""
    ready_max_bytes: int = Field(default=67_108_864, ge=1_048_576)
    """Payloads in the ready set, over all bridges."""
    index_max_records: int = Field(default=1_000_000, ge=1)
    """Unanswered records that one bridge keeps in view."""
    index_max_bytes: int = Field(default=268_435_456, ge=1_048_576)
    """Payloads that one bridge keeps in memory; beyond it partitions are paused."""
    max_in_flight: int = Field(default=0, ge=0)
    """Requests in flight over all models; 0: no limit but the capacities."""
    horizon_s: int = Field(default=3600, ge=1)
    """How long an answered request is remembered against duplicates."""


class TimingSettings(Section):
    """Leases and the pace of the reconciler."""

    lease_s: float = Field(default=15.0, gt=0)
    renew_s: float = Field(default=5.0, gt=0)
    dispatcher_lease_s: float = Field(default=3.0, gt=0)
    heartbeat_ttl_s: float = Field(default=5.0, gt=0)
    """A bridge or worker that is silent for so long does not count."""
    ring_again_s: float = Field(default=5.0, gt=0)
    """A doorbell that nobody claimed for so long is rung again (then 10, 20 ... 60 s)."""
    delivery_timeout_s: float = Field(default=10.0, gt=0)
    """How long Kafka may take to acknowledge a reply."""
    drain_s: float = Field(default=10.0, ge=0)
    """How long a stopping bridge waits for its requests in flight, and a stopping
    worker for its running calls before it hands them back."""

    @model_validator(mode="after")
    def _renewal_fits_lease(self) -> "TimingSettings":
        if self.renew_s * 2 > self.lease_s:
            msg = f"renew_s ({self.renew_s:g}) must be at most half of lease_s ({self.lease_s:g})"
            raise ValueError(msg)
        return self


class HttpSettings(Section):
    """The one port of every bridge and worker: /metrics, /healthz and /readyz."""

    enabled: bool = True
    host: str = Field(default="127.0.0.1", min_length=1)
    """Who may ask: this machine only, or 0.0.0.0 for all. There is no password; the
    pages hold no content of requests, no ids and no keys."""
    bridge_port: int = Field(default=9790, ge=0, le=65_535)
    """Taken already: a free one, which the log names. 0: always a free one."""
    worker_port: int = Field(default=9791, ge=0, le=65_535)
    stuck_s: float = Field(default=60.0, ge=1)
    """/healthz fails when the process's loop has not turned for so long."""


class LoggingSettings(Section):
    """What bridges and workers write to stderr."""

    format: Literal["auto", "json", "text"] = "auto"
    """`auto`: text on a terminal, else one JSON object a line."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """`debug` has one line for every change of a request's state. `-v` of the bridge
    and an explicit `-l` of the worker win over this."""


class ConnectionPoolSettings(Section):
    """The HTTP connections of one worker process to one endpoint."""

    max_connections: int = Field(default=100, ge=1)
    timeout: float = Field(default=30.0, gt=0)
    """Seconds to set up a connection (the published name carries no unit)."""


class Settings(Section):
    """The whole configuration."""

    namespace: str = Field(default="agentsched", pattern=r"^[A-Za-z0-9_.-]+$")
    """Prefix of all ledger keys in Redis."""
    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    models: tuple[ModelSettings, ...] = ()
    agents: tuple[AgentSettings, ...] = ()
    limits: LimitSettings = LimitSettings()
    timing: TimingSettings = TimingSettings()
    connection_pool: ConnectionPoolSettings = ConnectionPoolSettings()
    http: HttpSettings = HttpSettings()
    logging: LoggingSettings = LoggingSettings()
    scaling: dict[str, Any] = {}
    """Accepted, not active yet."""
    load_balancing: dict[str, Any] = {}
    """Accepted, not active yet."""

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        problems = [*_clashes(self.models), *_pool_problems(self)]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def ready_max_entries(self) -> int:
        """The bound of the ready set, with its default worked out."""
        total = sum(model.capacity for model in self.models)
        return self.limits.ready_max_entries or max(2000, 4 * total)

    def model(self, name: str) -> ModelSettings | None:
        """The model of this name, or None."""
        return next((model for model in self.models if model.name == name), None)


def _clashes(models: tuple[ModelSettings, ...]) -> list[str]:
    problems = []
    seen: dict[str, str] = {}
    capacities: dict[tuple[str, str], int] = {}
    for model in models:
        if model.name in seen.values():
            problems.append(f"models: {model.name!r} stands twice")
        elif other := seen.get(model.queue):
            problems.append(
                f"models: {other!r} and {model.name!r} share queue {model.queue!r};"
                " give one of them another `queue:`"
            )
        seen[model.queue] = model.name
        for endpoint in model.endpoints:
            if (model.name, endpoint.name) in capacities:
                problems.append(f"models: {model.name!r} lists {endpoint.name} twice")
            capacities[model.name, endpoint.name] = endpoint.capacity
    return problems


def _pool_problems(settings: "Settings") -> list[str]:
    limit = settings.connection_pool.max_connections
    return [
        f"connection_pool.max_connections ({limit}) is below the capacity"
        f" {endpoint.capacity} of {model.name!r} at {endpoint.name}: raise the one or"
        " lower the other, else requests would wait for connections"
        for model in settings.models
        for endpoint in model.endpoints
        if endpoint.capacity > limit
    ]
