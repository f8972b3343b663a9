"""What goes into and comes out of Kafka, as plain values; the rest imports no client."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


class Depth(NamedTuple):
    """How far a partition is read and filled."""

    committed: int | None
    """What the bridges have committed; None: nothing yet."""
    low: int
    """The oldest offset that Kafka keeps."""
    end: int
    """The offset of the next record."""

    @property
    def start(self) -> int:
        """Where a bridge that takes it over begins to read."""
        return self.low if self.committed is None else max(self.low, self.committed)


@dataclass(frozen=True, slots=True)
class InboundRecord:
    """One record as it was read."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """The broker's append time; where the topic has none, when it was read."""
    value: bytes | None
    headers: Mapping[str, str] = field(default_factory=dict)
    written_after_ms: int = 0
    """It was not in Kafka before this time of the broker; 0: not known."""


@dataclass(frozen=True, slots=True)
class OutboundRecord:
    """One record to be written."""

    topic: str
    value: bytes | None
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordAt:
    """Where an acknowledged record is."""

    topic: str
    partition: int
    offset: int
