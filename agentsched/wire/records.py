"""What goes into and comes out of Kafka, as plain values; the rest imports no client."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Pair = tuple[str, bytes | None]


class Mark(NamedTuple):
    """What is committed for a partition."""

    offset: int
    """The watermark: all below it is answered."""
    metadata: str = ""
    """What the owner knows beside it, written by `agentsched.wire.commit_state`."""


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


class Headers(Mapping[str, str]):
    """Headers of one record: text for those who ask, the bytes as they were for copies.

    In Kafka a name may stand several times: the last one counts. A header without a
    value is none; bytes that are not UTF-8 read as replacement characters.
    """

    __slots__ = ("pairs",)

    def __init__(self, pairs: Iterable[tuple[str, str | bytes | None]] = ()) -> None:
        self.pairs: tuple[Pair, ...] = tuple(
            (
                name,
                value.encode("utf-8", "replace") if isinstance(value, str) else value,
            )
            for name, value in pairs
        )
        """All of them, in their order."""

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "Headers":
        """Return any mapping as headers."""
        return headers if isinstance(headers, Headers) else cls(headers.items())

    def __getitem__(self, name: str) -> str:
        for each, value in reversed(self.pairs):
            if each == name and value is not None:
                return value.decode("utf-8", "replace")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(n for n, value in self.pairs if value is not None))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Headers({list(self)})"  # names only: values may be anything


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
    key: bytes | None = None
    problem: str = ""
    """Why it can be no request, whatever its value says; empty: nothing is known."""


@dataclass(frozen=True, slots=True)
class OutboundRecord:
    """One record to be written."""

    topic: str
    value: bytes | None
    key: str | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    partition: int | None = None
    """None: by the key."""


@dataclass(frozen=True, slots=True)
class RecordAt:
    """Where an acknowledged record is."""

    topic: str
    partition: int
    offset: int
