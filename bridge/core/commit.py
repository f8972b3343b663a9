"""What is committed to Kafka: watermarks, each with a commit state for whoever comes after us.

Nothing is admitted of a partition before its first commit is acknowledged: from then on
the next owner knows in which epoch requests of it may be in flight.
"""

from agentsched.ledger.answered_offsets import BLOCK_OFFSETS
from agentsched.wire.commit_state import (
    MAX_RUNS,
    CommitState,
    encode_commit_state,
)
from agentsched.wire.records import Mark
from agentsched.wire.source_record import SourceRecord
from bridge.core.commands import Command, Commit, ForgetDone
from bridge.core.events import CommitRefused, Committed
from bridge.core.state import BridgeState, PartitionIndex, Stage, due

COMMIT_MS = 500
BEAT_MS = 1_000
"""While requests are open the commit state says that the ledger has got so much further."""
RECOMMIT_MS = 5_000
"""A commit that was not acknowledged for so long is sent again."""
NOTE_LEAST_CHARACTERS = 250
"""Enough for a commit state without runs."""
LEDGER_WATERMARK_MS = 10_000
"""How often the watermark is written to the ledger, in case that Kafka forgets it."""


def duties(state: BridgeState) -> list[Command]:
    """Commit what has changed."""
    return commits(state) if due(state, "commit", COMMIT_MS) else []


def commits(state: BridgeState) -> list[Command]:
    """Return a commit for every partition whose state differs from what Kafka has."""
    return [
        command
        for partition in state.partitions.values()
        for command in commit(state, partition)
    ]


def commit(state: BridgeState, partition: PartitionIndex) -> list[Command]:
    """Commit a partition, if there is something new, or the last one got lost."""
    if partition.view is None:
        return []  # what stands in Kafka says more
    _trust(state, partition)
    tracker = partition.tracker
    content = (tracker.watermark, tracker.changes, partition.pulse.epoch)
    if content == partition.sent and not _is_due_again(state, partition):
        return []
    partition.sent, partition.committed_ms = content, state.now_ms
    partition.committed = tracker.watermark
    return [Commit(partition.partition, *mark(state, partition, clean=False))]


def last_mark(state: BridgeState, source: str) -> Mark | None:
    """Return what to commit when a partition goes; None: what stands in Kafka stays."""
    partition = state.partitions.get(source)
    if partition is None or partition.view is None:
        return None
    _trust(state, partition)
    return mark(state, partition, clean=state.draining and _is_clean(partition))


def mark(state: BridgeState, partition: PartitionIndex, *, clean: bool) -> Mark:
    """Return the watermark of a partition with its commit state."""
    tracker = partition.tracker
    commit_state = CommitState(
        pulse=partition.pulse,
        topic_id=SourceRecord.of(partition.source, 0).topic_id,
        clean=clean,
        done=tuple(tracker.first_runs(MAX_RUNS)),
    )
    text = encode_commit_state(
        commit_state, tracker.watermark, state.commit_state_max_characters
    )
    return Mark(tracker.watermark, text)


def on_committed(state: BridgeState, event: Committed) -> list[Command]:
    """Begin to admit; drop bitmap blocks that the acknowledged watermark has passed."""
    partition = _find(state, event)
    if partition is None:
        return []
    partition.is_taken_over = True
    # Not the highest: where an older commit arrived last, the next one mends it.
    partition.acknowledged = event.offset
    block = event.offset // BLOCK_OFFSETS
    old = state.now_ms - partition.ledger_watermark_at_ms >= LEDGER_WATERMARK_MS
    if block == partition.ledger_watermark // BLOCK_OFFSETS and not (
        old and event.offset > partition.ledger_watermark
    ):
        return []
    partition.ledger_watermark, partition.ledger_watermark_at_ms = (
        event.offset,
        state.now_ms,
    )
    return [ForgetDone(partition.source, event.offset)]


def on_refused(state: BridgeState, event: CommitRefused) -> list[Command]:
    """This broker takes shorter notes only: say less from now on."""
    half = state.commit_state_max_characters // 2
    state.commit_state_max_characters = max(half, NOTE_LEAST_CHARACTERS)
    partition = _find(state, event)
    if partition is not None:
        partition.sent = None
    return []


def _is_due_again(state: BridgeState, partition: PartitionIndex) -> bool:
    age_ms = state.now_ms - partition.committed_ms
    if len(partition.tracker) or not partition.is_taken_over:
        return age_ms >= BEAT_MS
    return partition.acknowledged < partition.committed and age_ms >= RECOMMIT_MS


def _trust(state: BridgeState, partition: PartitionIndex) -> None:
    """A ledger is named in the commit state when nothing of the one before is doubted any more."""
    if partition.doubt is None:
        partition.pulse = state.pulse


def _is_clean(partition: PartitionIndex) -> bool:
    entries = partition.entries.values()
    return (
        partition.doubt is None
        and len(entries) == len(partition.tracker)  # else dead letters are under way
        and all(entry.stage is Stage.WAITING for entry in entries)
    )


def _find(
    state: BridgeState, event: Committed | CommitRefused
) -> PartitionIndex | None:
    owned = state.partitions.values()
    return next((p for p in owned if p.partition == event.partition), None)
