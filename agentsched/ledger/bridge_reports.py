"""What bridges say of themselves and of single requests; values that become JSON.

Every list is bounded by who fills it. Nothing here holds content of a request.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

REPORT_VERSION = 1
"""Of a report, a question and findings."""


class JsonValue(BaseModel):
    """Frozen; unknown fields are ignored, so that versions can differ for a while."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """Read one.

        Raises:
            ValueError: another version wrote something else.
        """
        return cls.model_validate_json(text)

    def to_json(self) -> str:
        """Write one, in one line."""
        return self.model_dump_json()


class FlowLoad(JsonValue):
    """The requests that the same models may answer."""

    models: tuple[str, ...]
    waiting: dict[str, int]
    """By class: not started yet, in Kafka or in the ready set."""
    in_flight: int = 0
    """Doorbell out, running, or answered and not yet in Kafka."""


class AgentLoad(JsonValue):
    """The requests of one agent."""

    agent_id: str
    waiting: int
    in_flight: int = 0


class OldestRequest(JsonValue):
    """The request that waits for longest."""

    correlation_id: str
    agent_id: str
    cls: str
    arrival_ms: int
    """The broker's append time."""


class PartitionReport(JsonValue):
    """One partition that a bridge owns."""

    topic: str
    partition: int
    watermark: int
    """Everything below is answered."""
    next_offset: int
    """The offset after the last that was read."""
    unanswered: int
    """Records that were read and are not answered."""
    paused: str = ""
    """Why nothing is read from it now; empty: it is read."""


class VersionedJsonValue(JsonValue):
    """One that stands in Redis; without a number it is version 1, a newer is not read."""

    version: int = Field(default=REPORT_VERSION, ge=1, le=REPORT_VERSION)


class BridgeReport(VersionedJsonValue):
    """What one bridge knows, once a second."""

    software: str = ""
    """The version of AgentSched."""
    http: str = ""
    """`host:port` of its metrics and health; empty: nowhere."""
    leading: bool = False
    """Whether it is the dispatcher."""
    stopping: bool = False
    """It was asked to end, and waits for what is in flight."""
    draining: bool = False
    """It has seen that operators drain the system."""
    waiting: dict[str, int] = Field(default_factory=dict)
    """By class, over all flows."""
    in_flight: int = 0
    """Over all flows."""
    unanswered: int = 0
    """Records that were read and are not answered."""
    flows: tuple[FlowLoad, ...] = ()
    """Those with the most requests that wait."""
    agents: tuple[AgentLoad, ...] = ()
    """Those with the most requests."""
    other_agents: int = 0
    """How many agents there are beyond those that are listed."""
    other_agents_waiting: int = 0
    """Requests of those that wait."""
    oldest: OldestRequest | None = None
    answered_per_s: float = 0.0
    """Offsets of its partitions that were settled, over the last interval."""
    calls_per_s: dict[str, float] = Field(default_factory=dict)
    """model -> calls that ended, over the last interval; only from the dispatcher."""
    partitions: tuple[PartitionReport, ...] = ()
    other_partitions: int = 0


class Reported(JsonValue):
    """A live bridge, and what it said last."""

    bridge_id: str
    """`HOST/PID/RANDOM`."""
    age_ms: int = 0
    """How old the report is."""
    report: BridgeReport | None = None
    """None: it lives and has not said anything yet, or is of another version."""


class Question(VersionedJsonValue):
    """Where is this request? Every live bridge answers with what its index says."""

    id: str = Field(pattern=r"^[0-9a-f]{1,32}$")
    correlation_id: str
    agent_id: str | None = None
    """None: of every agent that the bridge has requests of."""


class IndexedRequest(JsonValue):
    """One request that a bridge has in its index."""

    agent_id: str
    correlation_id: str
    cls: str
    models: tuple[str, ...]
    stage: str
    """`bridge.core.state.Stage`."""
    topic: str
    partition: int
    offset: int
    waiting_ms: int
    """Since the broker's append time."""
    deadline_ms: int
    """Until the deadline; 0 or less: it has passed."""
    before: int | None = None
    """How many requests of the same models this bridge has before it; None: it does not
    wait, or was not counted."""
    loading: bool = False
    """The bridge does not know yet what of this partition was answered."""


class IndexAnswer(VersionedJsonValue):
    """One bridge's answer to a question."""

    found: tuple[IndexedRequest, ...] = ()
    complete: bool = True
    """False: there are more than fit, or too many agents to look for: name the agent."""
    loading: int = 0
    """Partitions of which the bridge does not yet know what is answered."""
