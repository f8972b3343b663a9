"""The state of the whole system at one moment; values that become JSON."""

from pydantic import Field

from agentsched.ledger.bridge_reports import (
    AgentLoad,
    JsonValue,
    OldestRequest,
    PartitionReport,
)


class Order(JsonValue):
    """A control in force."""

    kind: str
    name: str
    by: str
    reason: str
    at_ms: int
    """Milliseconds since the Unix epoch, by the ledger's clock."""


class EndpointStatus(JsonValue):
    """The capacity of a model at one endpoint."""

    endpoint: str
    in_flight: int
    capacity: int


class ModelStatus(JsonValue):
    """One model and its pool of workers."""

    model: str
    queue: str
    """Empty: only the bridges' configuration has this model."""
    workers: int
    slots: int
    """Requests that its live workers can run at once."""
    in_flight: int
    capacity: int
    endpoints: tuple[EndpointStatus, ...]
    waiting: int
    """Requests that it may answer; others may answer some of them, too."""
    calls: int
    """Calls that ended since the ledger began, with an answer or an error."""
    failed: int
    mean_s: float | None
    """Of all these calls; None before the first."""
    calls_per_s: float
    paused: Order | None = None


class FlowStatus(JsonValue):
    """Requests that the same models may answer, over all bridges."""

    models: tuple[str, ...]
    waiting: dict[str, int]
    in_flight: int


class BridgeStatus(JsonValue):
    """One live bridge."""

    bridge_id: str
    reports: bool
    """False: it lives, and has not said anything for some seconds."""
    software: str = ""
    http: str = ""
    """`host:port` of its metrics and health."""
    leading: bool = False
    stopping: bool = False
    unanswered: int = 0
    """Records of its partitions that were read and are not answered."""
    answered_per_s: float = 0.0
    partitions: tuple[PartitionReport, ...] = ()
    other_partitions: int = 0


class TopicStatus(JsonValue):
    """One input topic, by what Kafka says."""

    topic: str
    partitions: int
    behind: int
    """Offsets from the watermarks to the ends: not answered, or not known to be."""
    unread: int
    """Of these: not read by any bridge yet."""


class WorkerStatus(JsonValue):
    """One live worker process."""

    worker_id: str
    slots: dict[str, int]
    http: str = ""
    """`host:port` of its metrics and health."""


class Status(JsonValue):
    """The whole system."""

    at_ms: int
    """By the ledger's clock."""
    models: tuple[ModelStatus, ...] = ()
    waiting: dict[str, int] = Field(default_factory=dict)
    """By class: not started yet, in Kafka or in the ready set."""
    flows: tuple[FlowStatus, ...] = ()
    agents: tuple[AgentLoad, ...] = ()
    other_agents_waiting: int = 0
    """Requests that wait, of agents that are not listed."""
    oldest: OldestRequest | None = None
    oldest_age_ms: int = 0
    """How long the oldest waits."""
    topics: tuple[TopicStatus, ...] | None = None
    """None: Kafka was not asked, or did not answer."""
    in_flight: int = 0
    answered_per_s: float = 0.0
    workers: int = 0
    worker_processes: tuple[WorkerStatus, ...] = ()
    bridges: tuple[BridgeStatus, ...] = ()
    orders: tuple[Order, ...] = ()
    """What operators have ordered, the drain first."""
    notices: tuple[str, ...] = ()
    """What is in force or unusual, in words."""
    problems: tuple[str, ...] = ()
    """What keeps requests from being answered, and what to do."""
