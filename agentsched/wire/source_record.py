"""Which record a reply or dead letter answers, as its headers say it; pure.

Written into Kafka, and read after a loss of Redis: the headers carry a version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from agentsched.errors import ErrorCode

HEADERS_VERSION = 2
"""Version 1 had no `source_topic_id`."""
VERSIONS_READ = frozenset({"1", "2"})
NO_REPLIES = frozenset({"chunk", "conflict"})
"""Kinds of records on a reply topic that answer nothing."""
ONLY_DEAD_LETTERS = frozenset(
    {
        ErrorCode.MALFORMED,
        ErrorCode.TOO_LARGE,
        ErrorCode.MISSING_IDENTITY,
        ErrorCode.CONFLICT,
    }
)
"""Reasons of dead letters that stand for a reply; with others the reply says it all."""


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One record of an input topic."""

    topic: str
    topic_id: str
    """Another one when the topic was made again; "": not known."""
    partition: int
    offset: int

    @classmethod
    def of(cls, source: str, offset: int) -> Self:
        """Return the record at an offset of what the ledger calls a source."""
        topic, topic_id, partition = source.rsplit(":", 2)
        return cls(topic, topic_id, int(partition), offset)

    @property
    def source(self) -> str:
        """What the ledger calls the partition."""
        return source_name(self.topic, self.topic_id, self.partition)

    def headers(self) -> dict[str, str]:
        """Return what a reply or dead letter carries."""
        return {
            "agentsched_version": str(HEADERS_VERSION),
            "source_topic": self.topic,
            "source_topic_id": self.topic_id,
            "source_partition": str(self.partition),
            "source_offset": str(self.offset),
        }


def source_name(topic: str, topic_id: str, partition: int) -> str:
    """Name a partition for the ledger; no part but the topic's id may be empty."""
    return f"{topic}:{topic_id}:{partition}"


def settled_by(headers: Mapping[str, str]) -> SourceRecord | None:
    """Return the record that these headers say is answered for good.

    None: they are of a part of a stream, of a conflict (its dead letter answers), of a
    dead letter beside a reply, of somebody else, or of a version that is not known.
    """
    if headers.get("agentsched_version") not in VERSIONS_READ:
        return None
    reason = headers.get("reason")
    if reason not in ONLY_DEAD_LETTERS if reason else headers.get("kind") in NO_REPLIES:
        return None
    try:
        return SourceRecord(
            headers["source_topic"],
            headers.get("source_topic_id", ""),
            int(headers["source_partition"]),
            int(headers["source_offset"]),
        )
    except (KeyError, ValueError):
        return None
