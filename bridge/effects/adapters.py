"""Everything that a bridge talks to, as one value; nothing is done here."""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from agentsched.ledger.operator_protocol import Operations
from agentsched.ledger.protocol import Ledger, Membership
from agentsched.protocols import DoorbellSender, RecordSink
from agentsched.wire.records import InboundRecord, Mark, Partition, RecordAt


class PartitionReader(Protocol):
    """What the bridge needs of Kafka beside polling."""

    def commit(self, marks: Mapping[Partition, Mark]) -> None:
        """Commit watermarks of partitions that are owned now; does not block."""

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Read no more from these."""

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Read on."""


class ReplyLookup(Protocol):
    """Finds out which records have a reply or a dead letter in Kafka."""

    def __call__(
        self,
        topics: Collection[str],
        wanted: Mapping[str, range],
        since_ms: int,
        stopped: Callable[[], bool],
    ) -> Mapping[str, Collection[int]]:
        """Return the offsets that have one, by source; blocks, maybe for minutes.

        Args:
            topics: into which replies and dead letters are written.
            wanted: the offsets to look for, by source.
            since_ms: none was written before this time of Kafka.
            stopped: whether to give up.

        Raises:
            AgentSchedError: Kafka did not answer, or it was stopped.
        """


def _one_thread(name: str) -> Executor:
    return ThreadPoolExecutor(1, thread_name_prefix=name)


@dataclass(frozen=True, slots=True)
class Outside:
    """The adapters of one bridge, its clock, and its threads for long work."""

    ledger: Ledger
    membership: Membership
    operations: Operations
    doorbells: DoorbellSender
    sink: RecordSink
    read_back: Callable[[RecordAt], InboundRecord | None]
    """Read one record at its coordinates; blocks for a bounded time."""
    look_up: ReplyLookup
    now_ms: Callable[[], int]
    make_thread: Callable[[str], Executor] = _one_thread
    """Make what does long work, one piece after the other, named for people."""
