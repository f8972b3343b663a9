"""What a run has seen, as the checker reads it: plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentsched.types import Reply
from tests.chaos.commits import Commit
from tests.chaos.traffic import Sent
from tests.support.model_server import Call

Place = tuple[str, int, int]
"""Topic, partition and offset of a record."""


def place_in(headers: Mapping[str, str]) -> Place:
    """Read which record a reply or dead letter is about."""
    topic, partition = headers["source_topic"], int(headers["source_partition"])
    return topic, partition, int(headers["source_offset"])


@dataclass(frozen=True)
class Happened:
    """One fault of the run, on the monotonic clock."""

    number: str
    name: str
    started_s: float
    ended_s: float
    recalls: bool
    loses_redis: bool
    doubles: bool = False
    stalls: bool = False
    targets: tuple[str, ...] = ()
    """What it struck: names of processes, a whole role, `redis`, `kafka` or `model`."""


@dataclass(frozen=True)
class RawReply:
    """One record of the reply topic."""

    id: str
    value: dict
    raw: bytes
    at_ms: int = 0
    """When Kafka got it."""
    place: Place | None = None
    """The record that it answers, as its headers say; None: they do not."""


@dataclass(frozen=True)
class Letter:
    """One dead letter: its headers, and when Kafka got it."""

    headers: dict[str, str]
    at_ms: int = 0

    @property
    def place(self) -> Place:
        """The record that it is about."""
        return place_in(self.headers)

    @property
    def reason(self) -> str:
        """Why it is one, for machines."""
        return self.headers["reason"]


@dataclass
class History:
    """All that a run has seen."""

    sent: list[Sent]
    tried: set[str]
    """Ids of all that was sent, also where Kafka did not acknowledge it."""
    replies: list[RawReply]
    seen: dict[str, list[Reply]]
    """What the client handed to its callers, by id."""
    dead_letters: list[Letter]
    commits: list[Commit]
    """All of the bridges' group, in their order."""
    topics: dict[str, str]
    """The input topic of each class."""
    calls: list[Call]
    faults: list[Happened]
    lease_s: float
    capacity: dict[str, int]
    peaks: dict[str, int]
    left_over: dict[str, int]
    """What should be nothing at the end: READY entries, slots, unanswered offsets."""
    logs: dict[str, str]
    canary: str
    told: set[Place] | None = None
    """The records of which a conflict was told; None: nobody has looked."""
    ttl_s: float = 90.0
    epoch_ms: float = 0.0
    """The wall clock when the monotonic one was 0."""

    def place(self, one: Sent) -> Place | None:
        """Where a record lies; None: only the client that sent it knows."""
        if one.offset < 0:
            return None
        return self.topics[one.cls], one.partition, one.offset

    def at_s(self, at_ms: float) -> float:
        """A time of Kafka's on the monotonic clock."""
        return (at_ms - self.epoch_ms) / 1000


@dataclass
class Verdict:
    """What the checker found."""

    broken: list[str] = field(default_factory=list)
    figures: dict[str, float | str] = field(default_factory=dict)
    struck: list[str] = field(default_factory=list)
    """The numbers of the faults that happened, in their order."""
