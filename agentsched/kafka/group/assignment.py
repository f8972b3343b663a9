"""What a member of the group learns of its partitions: which, and where reading starts.

It asks Kafka, and moves nothing: who is assigned and what is read stands in `source.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import confluent_kafka
from confluent_kafka.admin import AdminClient

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.admin.topic_ids import topic_ids
from agentsched.kafka.librdkafka import admin_properties
from agentsched.kafka.librdkafka import log as librdkafka_log
from agentsched.kafka.offsets import bounds, committed_marks
from agentsched.wire.commit_state import CommitState, decode_commit_state
from agentsched.wire.records import Mark, Partition


@dataclass(frozen=True, slots=True)
class AssignedPartition:
    """A partition that this member owns from now on."""

    partition: Partition
    topic_id: str
    """Another one when the topic was deleted and made again, or the broker is another."""
    committed: int | None
    """What the group has committed; None: nothing yet, or Kafka has forgotten it."""
    low: int
    """The oldest offset that Kafka keeps; above `committed`: records were lost."""
    end: int
    """The offset of the next record to be appended."""
    metadata: str = ""
    """What is committed beside the offset."""

    @property
    def inherited_state(self) -> CommitState | None:
        """What an earlier owner committed beside the offset, of this very topic."""
        return None if self._is_other_topic else self._commit_state

    @property
    def _commit_state(self) -> CommitState | None:
        return decode_commit_state(self.metadata, self.committed or 0)

    @property
    def _is_other_topic(self) -> bool:
        """Whether the group's offset is of a topic that had this name before."""
        state = self._commit_state
        return state is not None and state.topic_id not in ("", self.topic_id)

    @property
    def start(self) -> int:
        """The offset from which records are read."""
        if self.committed is None or self._is_other_topic:
            return self.low
        if self.committed > self.end:
            # Another topic, or Kafka has lost its end: what is left was answered then.
            return self.end if self.inherited_state else self.low
        return max(self.low, self.committed)


class PartitionOwner(Protocol):
    """What is told of partitions, in the thread and inside the calls of the source."""

    def on_assigned(self, assigned: Sequence[AssignedPartition]) -> None:
        """Begin with partitions; their records follow."""

    def on_revoked(self, revoked: Sequence[Partition]) -> Mapping[Partition, Mark]:
        """Give partitions up; return what to commit before: the next owner starts there."""

    def on_lost(self, lost: Sequence[Partition]) -> None:
        """Forget partitions that are another member's: nothing can be committed."""

    def on_committed(self, offsets: Mapping[Partition, int]) -> None:
        """Hear of offsets that Kafka acknowledged, of partitions still owned."""

    def on_commit_refused(self, partition: Partition) -> None:
        """Hear that the broker takes only shorter metadata."""

    def on_deleted(self, partition: Partition, start: int) -> None:
        """Hear that the records where reading stood are gone; it goes on at `start`."""


def look_up(
    client: confluent_kafka.Consumer,
    settings: KafkaSettings,
    partitions: Sequence[Partition],
) -> list[AssignedPartition]:
    """Return what Kafka says of partitions now. Blocks for some round trips.

    Raises:
        KafkaException: no answer, or an error for one of the partitions.
    """
    if not partitions:
        return []
    committed = committed_marks(client, partitions)
    held = bounds(client, partitions)
    admin = AdminClient(admin_properties(settings), logger=librdkafka_log)
    ids = topic_ids(admin, {each.topic for each in partitions})
    return [
        AssignedPartition(
            each,
            ids[each.topic],
            mark.offset if (mark := committed[each]) else None,
            *held[each],
            metadata=mark.metadata if mark else "",
        )
        for each in partitions
    ]
