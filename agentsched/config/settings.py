"""The whole configuration, and the sections that are of no single server.

Every setting has its unit in the name, a default, bounds and a sentence. Constructing
settings reads nothing; `loader.py` fills them from the YAML file and the environment.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from agentsched.config import models as of_models
from agentsched.config.models import (
    DefaultEndpointSettings,
    EndpointSettings,
    ModelSettings,
    queue_name,
)
from agentsched.config.section import (
    Applies,
    Contradiction,
    Form,
    Inactive,
    Path,
    Section,
    repeated,
)
from agentsched.config.servers import (
    DEFAULT_INPUT_TOPICS,
    KafkaSettings,
    RedisSettings,
)
from agentsched.types import Label, Priority

__all__ = [
    "DEFAULT_INPUT_TOPICS",
    "DEFAULT_NAMESPACE",
    "AgentSettings",
    "ConnectionPoolSettings",
    "DefaultEndpointSettings",
    "EndpointSettings",
    "KafkaSettings",
    "LimitSettings",
    "ModelSettings",
    "RedisSettings",
    "Settings",
    "TimingSettings",
    "queue_name",
]

DEFAULT_NAMESPACE = "agentsched"
DAY_S = 86_400
GIB = 1_073_741_824


class AgentSettings(Section):
    """What is configured for one agent."""

    id: str = Field(min_length=1, max_length=512, examples=["planner"])
    """What its requests carry as `agent_id`; `default` is who sends none."""
    model: Label | None = Field(
        default=None, min_length=1, max_length=200, examples=["gpt-4"]
    )
    """Model that answers the agent's requests that name no model."""
    group: Annotated[str | None, Inactive()] = Field(
        default=None, min_length=1, max_length=512
    )
    """Agents of one group will count as one; unset: what the message says, else itself."""
    weight: Annotated[float, Inactive()] = Field(default=1.0, gt=0, le=1000)
    """Share of the models that its group will have beside others of its class."""
    max_priority: Priority = Priority.HIGH
    """Highest class that it may use; what asks for more runs at this one."""
    ttl_s: float | None = Field(default=None, gt=0, le=30 * DAY_S)
    """Time to live of its requests that state none; unset: limits.ttl_s."""
    blocked: bool = False
    """Whether its requests are refused with AGENT_BLOCKED."""


class LimitSettings(Section):
    """Bounds on every size, time and count."""

    ttl_s: float = Field(default=600.0, gt=0, le=30 * DAY_S)
    """Time to live of a request that states none; at most ttl_max_s."""
    ttl_max_s: float = Field(default=DAY_S, gt=0, le=30 * DAY_S)
    """Longest time to live; what asks for more is cut to this."""
    request_max_bytes: int = Field(default=1_048_576, ge=1024, le=104_857_600)
    """Largest request; a larger one becomes a dead letter."""
    reply_max_bytes: Annotated[int, Applies.RESTART] = Field(
        default=1_048_576, ge=1024, le=104_857_600
    )
    """Largest reply; instead of a larger one goes a failed one, REPLY_TOO_LARGE."""
    ready_max_entries: int = Field(default=0, ge=0, le=10_000_000)
    """READY and RUNG over all bridges; 0: max(2,000, 4 x all capacities)."""
    ready_max_bytes: int = Field(default=67_108_864, ge=1_048_576, le=64 * GIB)
    """Payloads in the ready set, over all bridges."""
    index_max_records: int = Field(default=1_000_000, ge=1, le=100_000_000)
    """Unanswered records that one bridge keeps in view; beyond it partitions are paused."""
    index_max_bytes: int = Field(default=GIB, ge=1_048_576, le=64 * GIB)
    """Memory of these: 800 bytes each and their payloads (1 GiB: 1,000,000 of 200 bytes)."""
    max_in_flight: int = Field(default=0, ge=0, le=1_000_000)
    """Requests in flight over all models; 0: no limit but the capacities."""
    horizon_s: int = Field(default=3600, ge=1, le=30 * DAY_S)
    """How long an answered request is remembered against duplicates."""


class TimingSettings(Section):
    """Leases and the pace of the reconciler."""

    lease_s: Annotated[float, Applies.RESTART] = Field(default=15.0, gt=0, le=3600)
    """How long a worker may be silent before its request runs elsewhere."""
    renew_s: Annotated[float, Applies.RESTART] = Field(default=5.0, gt=0, le=1800)
    """How often a worker extends its leases; at most half of lease_s."""
    dispatcher_lease_s: float = Field(default=3.0, gt=0, le=600)
    """How long the dispatching bridge may be silent before another takes over."""
    heartbeat_ttl_s: Annotated[float, Applies.RELOAD_WORKERS_RESTART] = Field(
        default=5.0, gt=0, le=600
    )
    """A bridge or worker that is silent for so long does not count."""
    ring_again_s: float = Field(default=5.0, gt=0, le=600)
    """A doorbell that nobody claimed for so long is rung again (then 10, 20 ... 60 s)."""
    delivery_timeout_s: Annotated[float, Applies.RESTART] = Field(
        default=10.0, gt=0, le=600
    )
    """How long Kafka may take to acknowledge a reply."""
    loss_grace_s: Annotated[float, Applies.BRIDGES_RESTART] = Field(
        default=22.0, gt=0, le=3600
    )
    """After a loss of Redis, how long a reply may still be on its way into Kafka: more
    than twice delivery_timeout_s, because one that is refused may be sent another way."""
    drain_s: Annotated[float, Applies.RELOAD_WORKERS_RESTART] = Field(
        default=10.0, ge=0, le=3600
    )
    """How long a stopping bridge waits for its requests in flight, and a stopping
    worker for its running calls before it hands them back."""

    @model_validator(mode="after")
    def _renewal_fits_lease(self) -> "TimingSettings":
        if self.renew_s * 2 > self.lease_s:
            text = f"must be at most half of lease_s ({self.lease_s:g})"
            raise Contradiction([(("renew_s",), text)])
        if self.loss_grace_s <= 2 * self.delivery_timeout_s:
            text = (
                f"must be more than twice delivery_timeout_s ({self.delivery_timeout_s:g}),"
                " by 2 s or so"
            )
            raise Contradiction([(("loss_grace_s",), text)])
        return self


class HttpSettings(Section):
    """The one port of every bridge and worker: /metrics, /healthz and /readyz."""

    applies = Applies.RESTART

    enabled: bool = True
    """Whether the port is opened."""
    host: str = Field(default="127.0.0.1", min_length=1, max_length=255)
    """Who may ask: this machine only, or 0.0.0.0 for all. There is no password; the
    pages hold no content of requests, no ids and no keys."""
    bridge_port: Annotated[int, Applies.BRIDGES_RESTART] = Field(
        default=9790, ge=0, le=65_535
    )
    """Port of a bridge. Taken already: a free one, which the log names. 0: always a
    free one."""
    worker_port: Annotated[int, Applies.WORKERS_RESTART] = Field(
        default=9791, ge=0, le=65_535
    )
    """Port of a worker, with the same rule."""
    stuck_s: float = Field(default=60.0, ge=1, le=3600)
    """/healthz fails when the process's loop has not turned for so long."""


class LoggingSettings(Section):
    """What bridges and workers write to stderr."""

    applies = Applies.RELOAD_WORKERS_RESTART

    format: Literal["auto", "json", "text"] = "auto"
    """`auto`: text on a terminal, else one JSON object a line."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """`debug` has one line for every change of a request's state. `-v` of the bridge
    and an explicit `-l` of the worker win over this."""


class ConnectionPoolSettings(Section):
    """The HTTP connections of one worker process to one endpoint."""

    applies = Applies.WORKERS_RESTART

    max_connections: int = Field(default=100, ge=1, le=100_000)
    """Connections at once; at least the capacity of every endpoint."""
    timeout: float = Field(default=30.0, gt=0, le=3600)
    """Seconds to set up a connection (the published name carries no unit)."""


class Settings(Section):
    """The whole configuration; a section's own sentence says what it is for."""

    namespace: Annotated[
        str, Form("letters, digits, '.', '_' and '-'"), Applies.RESTART
    ] = Field(default=DEFAULT_NAMESPACE, pattern=r"^[A-Za-z0-9_.-]+$", max_length=100)
    """Keeps installations apart that share Redis and Kafka: prefix of all keys in
    Redis, Celery's among them, and of the consumer group. The topics are yours."""
    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    default_endpoint: DefaultEndpointSettings = DefaultEndpointSettings()
    models: tuple[ModelSettings, ...] = Field(default=(), max_length=1000)
    """Names that callers use, with the servers behind each and their capacity."""
    agents: tuple[AgentSettings, ...] = Field(default=(), max_length=100_000)
    """What is configured for single agents; others need no entry."""
    limits: LimitSettings = LimitSettings()
    timing: TimingSettings = TimingSettings()
    connection_pool: ConnectionPoolSettings = ConnectionPoolSettings()
    http: HttpSettings = HttpSettings()
    logging: LoggingSettings = LoggingSettings()
    scaling: Annotated[dict[str, Any], Inactive()] = Field(default={})
    """The published sample's bounds on the number of agents."""
    load_balancing: Annotated[dict[str, Any], Inactive()] = Field(default={})
    """The published sample's strategy."""

    @model_validator(mode="before")
    @classmethod
    def _group_of_namespace(cls, data: Any) -> Any:  # noqa: ANN401  (pydantic's)
        """The namespace names the consumer group where the configuration does not."""
        if not isinstance(data, dict) or not isinstance(data.get("namespace"), str):
            return data
        group = {"group_id": f"{data['namespace']}-bridge"}
        kafka = data.get("kafka", {})
        if isinstance(kafka, KafkaSettings):
            if "group_id" not in kafka.model_fields_set:
                return data | {"kafka": kafka.model_copy(update=group)}
        elif isinstance(kafka, dict):
            return data | {"kafka": group | kafka}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        problems = [
            *of_models.contradictions(self.models),
            *(
                (
                    ("agents", at, "id"),
                    f"{self.agents[at].id!r} stands twice: make one entry of both",
                )
                for at, _ in repeated(agent.id for agent in self.agents)
            ),
            *_pool_problems(self),
        ]
        if problems:
            raise Contradiction(problems)
        return self

    @property
    def ready_max_entries(self) -> int:
        """The bound of the ready set, with its default worked out."""
        total = sum(model.capacity for model in self.models)
        return self.limits.ready_max_entries or max(2000, 4 * total)

    def model(self, name: str) -> ModelSettings | None:
        """The model of this name, or None."""
        return next((model for model in self.models if model.name == name), None)


def _pool_problems(settings: Settings) -> list[tuple[Path, str]]:
    limit = settings.connection_pool.max_connections
    return [
        (
            ("connection_pool", "max_connections"),
            (
                f"({limit}) is below the capacity {endpoint.capacity} of {model.name!r}"
                f" at {endpoint.name}: raise the one or lower the other, else requests"
                " would wait for connections"
            ),
        )
        for model in settings.models
        for endpoint in model.endpoints
        if endpoint.capacity > limit
    ]
