"""Partitions come and go, records are read, watermarks are committed."""

from agentsched.kafka_records import InboundRecord, Partition
from agentsched.ledger.done_offsets import BLOCK_OFFSETS
from agentsched.ledger.records import Admission
from bridge.core import doubt, index
from bridge.core.commands import (
    Cancel,
    Command,
    Commit,
    Deliver,
    ForgetDone,
    LoadPartition,
)
from bridge.core.events import (
    Assigned,
    Committed,
    PartitionLoaded,
    Read,
    SettleFailed,
)
from bridge.core.intake import Cancellation, Refused, classify
from bridge.core.state import BridgeState, Indexed, PartitionIndex, Stage, due
from bridge.core.tracker import OffsetTracker

COMMIT_MS = 500
RECOMMIT_MS = 5_000
"""A commit that was not acknowledged for so long is sent again."""
LOAD_RETRY_MS = 1_000
DELIVER_RETRY_MS = 1_000


def on_assigned(state: BridgeState, event: Assigned) -> list[Command]:
    """Begin with a partition: ask the ledger what it knows of it."""
    index.drop_partition(state, event.source)
    state.partitions[event.source] = PartitionIndex(
        partition=event.partition,
        source=event.source,
        end=max(event.start, event.end),
        tracker=OffsetTracker(event.start),
        committed=event.start,
        acknowledged=event.start,
    )
    return [LoadPartition(event.source, event.start, max(event.start, event.end))]


def on_loaded(state: BridgeState, event: PartitionLoaded) -> list[Command]:
    """Apply what was answered before, and what is admitted already."""
    partition = state.partitions.get(event.source)
    if partition is None or partition.view is not None:
        return []
    partition.view = event.view
    index.answered(state, partition, event.view.done)
    for entry in list(partition.entries.values()):
        _adopt(state, partition, entry)
    return _release_held(partition)


def release_held(state: BridgeState) -> list[Command]:
    """Answer refused records that were held until it was known whether they were."""
    return [
        command
        for partition in state.partitions.values()
        if partition.view is not None and partition.doubt is None
        for command in _release_held(partition)
    ]


def _release_held(partition: PartitionIndex) -> list[Command]:
    held, partition.held = partition.held, []
    return [
        command
        for record, refused in held
        if partition.tracker.is_open(record.offset)
        for command in _refuse(partition, refused, record)
    ]


def on_read(state: BridgeState, event: Read) -> list[Command]:
    """Index requests; those that name nobody become dead letters."""
    by_partition = {p.partition: p for p in state.partitions.values()}
    commands: list[Command] = []
    for record in event.records:
        partition = by_partition.get(Partition(record.topic, record.partition))
        if partition is None or not partition.tracker.read(record.offset):
            continue
        verdict = classify(record, partition.source, state.rules)
        if isinstance(verdict, Admission):
            _index(state, partition, record, verdict)
        elif isinstance(verdict, Cancellation):
            keep_s = state.rules.settings.limits.horizon_s
            place = (partition.source, record.offset)
            commands.append(Cancel(verdict.key, keep_s, *place))
        else:
            commands += _refuse(partition, verdict, record)
    return commands


def on_settle_failed(state: BridgeState, event: SettleFailed) -> list[Command]:
    """Keep what was not done, to try it again in a while.

    A draining bridge does not: the offset is not committed, so it is read again.
    """
    state.undelivered.append(event.command)
    return []


def duties(state: BridgeState) -> list[Command]:
    """Ask again for partitions that are not loaded; commit watermarks that moved."""
    commands: list[Command] = []
    if due(state, "load", LOAD_RETRY_MS):
        commands += [
            LoadPartition(p.source, p.tracker.watermark, p.end)
            for p in state.partitions.values()
            if p.view is None
        ]
    if due(state, "deliver", DELIVER_RETRY_MS) and not state.draining:
        again, state.undelivered = state.undelivered, []
        commands += [one for one in again if one.source in state.partitions]
    if due(state, "commit", COMMIT_MS):
        commands += commits(state)
    return commands


def commits(state: BridgeState) -> list[Command]:
    """Return a commit for every watermark that moved, or whose commit got lost."""
    commands: list[Command] = []
    for partition in state.partitions.values():
        watermark = partition.tracker.watermark
        lost = partition.acknowledged < partition.committed and (
            state.now_ms - partition.committed_ms >= RECOMMIT_MS
        )
        if watermark > partition.committed or lost:
            partition.committed, partition.committed_ms = watermark, state.now_ms
            commands.append(Commit(partition.partition, watermark))
    return commands


def on_committed(state: BridgeState, event: Committed) -> list[Command]:
    """Drop bitmap blocks that the acknowledged watermark has passed."""
    for partition in state.partitions.values():
        if partition.partition != event.partition:
            continue
        partition.acknowledged = max(partition.acknowledged, event.offset)
        block = event.offset // BLOCK_OFFSETS
        if block > partition.forgotten_block:
            partition.forgotten_block = block
            return [ForgetDone(partition.source, event.offset)]
    return []


def _index(
    state: BridgeState,
    partition: PartitionIndex,
    record: InboundRecord,
    admission: Admission,
) -> None:
    entry = Indexed(record, admission, checked_ms=state.now_ms)
    index.add(state, partition, entry)
    _adopt(state, partition, entry)
    if entry.stage is Stage.WAITING and doubt.is_doubted(partition, record.offset):
        doubt.mark(state, partition, entry)


def _refuse(
    partition: PartitionIndex,
    refused: Refused,
    record: InboundRecord,
) -> list[Command]:
    """Put a record aside, unless an earlier owner may have done so."""
    if partition.view is None or doubt.is_doubted(partition, record.offset):
        partition.held.append((record, refused))
        doubt.note(partition, record)
        return []
    return [Deliver(refused.record, partition.source, record.offset)]


def _adopt(state: BridgeState, partition: PartitionIndex, entry: Indexed) -> None:
    """A request that an earlier owner admitted is in the ledger: look, do not admit."""
    view = partition.view
    if view is not None and view.live.get(entry.record.offset) == entry.key:
        index.move(state, entry, Stage.IN_FLIGHT)
