"""Takes partitions in and gives them up, and files what is read; admits nothing."""

from agentsched.ledger.answered_offsets import within
from agentsched.ledger.values import Admission, PartitionView
from agentsched.wire.records import InboundRecord, Partition
from bridge.core import cancel, commit, index, redis_loss
from bridge.core.commands import (
    Alarm,
    BeatEpoch,
    Command,
    LoadPartition,
    PublishRefusal,
    RaiseAlarm,
)
from bridge.core.events import (
    Assigned,
    PartitionLoaded,
    Read,
    RecordsDeleted,
    SettleFailed,
)
from bridge.core.intake import Cancellation, Refused, classify
from bridge.core.offset_tracker import OffsetTracker
from bridge.core.state import BridgeState, Indexed, PartitionIndex, Stage, due

LOAD_RETRY_MS = 1_000
DELIVER_RETRY_MS = 1_000


def on_assigned(state: BridgeState, event: Assigned) -> list[Command]:
    """Begin with a partition: ask the ledger what it knows of it."""
    index.drop_partition(state, event.source)
    commit_state, tracker = event.inherited_state, OffsetTracker(event.start)
    inherited = _inherited(event)
    tracker.answered(inherited)
    partition = PartitionIndex(
        partition=event.partition,
        source=event.source,
        end=max(event.start, event.end),
        tracker=tracker,
        was_committed=event.committed is not None,
        inherited=inherited,
        inherited_state=commit_state,
        pulse=commit_state.pulse if commit_state else state.pulse,
        ledger_watermark=event.start,
        ledger_watermark_at_ms=state.now_ms,
        committed=event.start,
        acknowledged=event.start,
    )
    state.partitions[event.source] = partition
    commands = _missing(state, partition, event)
    if commit_state is not None and commit_state.pulse > state.pulse:
        # Another bridge has seen more: this shows whether Redis has it still.
        # The last change that came in is of the log of the epoch that is open here.
        last_change = (
            state.last_change if commit_state.pulse.epoch == state.epoch else ""
        )
        commands.append(BeatEpoch(commit_state.pulse, last_change))
    return [*commands, _load(partition)]


def _inherited(event: Assigned) -> tuple[range, ...]:
    """Return what Kafka knows to be answered.

    Not what Kafka has deleted above the committed offset: that may be answered yet. And
    nothing above the end: a log that lost its end will have other records there.
    """
    below = range(min(event.committed or 0, event.start))
    beside = (
        within(event.inherited_state.done, 0, event.end)
        if event.inherited_state
        else []
    )
    return tuple(run for run in (below, *beside) if run)


def _load(partition: PartitionIndex) -> LoadPartition:
    start = partition.tracker.watermark if partition.was_committed else 0
    return LoadPartition(partition.source, start, partition.end, partition.inherited)


def on_loaded(state: BridgeState, event: PartitionLoaded) -> list[Command]:
    """Apply what was answered before, and what is admitted already."""
    partition = state.partitions.get(event.source)
    if partition is None or partition.view is not None:
        return []
    partition.view = view = event.view
    commands: list[Command] = []
    if partition.was_committed:
        index.answered(state, partition, view.done)
    else:
        commands += _expired(state, partition, view)
    if redis_loss.is_left_by_another_epoch(state, partition.inherited_state):
        redis_loss.begin(partition, partition.end)
        redis_loss.hold(state)
    for entry in list(partition.entries.values()):
        _adopt(state, partition, entry)
    commands += commit.commit(state, partition)
    return [*commands, *_release_held(partition)]


def on_deleted(state: BridgeState, event: RecordsDeleted) -> list[Command]:
    """Records were deleted unread: nothing can be answered of them."""
    for partition in state.partitions.values():
        if partition.partition == event.partition:
            missing = event.start - partition.tracker.next_offset
            return _alarm(state, partition, Alarm.RECORDS_DELETED, missing, event.start)
    return []


def _missing(
    state: BridgeState, partition: PartitionIndex, event: Assigned
) -> list[Command]:
    """Raise an alarm where Kafka no longer has what nobody had answered."""
    if event.committed is None:
        return []
    if event.committed > event.end and event.inherited_state is not None:
        truncated = event.committed - event.end
        return _alarm(state, partition, Alarm.LOG_TRUNCATED, truncated, event.start)
    done = within(
        event.inherited_state.done if event.inherited_state else (),
        event.committed,
        event.start,
    )
    missing = event.start - event.committed - sum(map(len, done))
    return _alarm(state, partition, Alarm.RECORDS_DELETED, missing, event.start)


def _expired(
    state: BridgeState, partition: PartitionIndex, view: PartitionView
) -> list[Command]:
    """Go on where the ledger says, and raise an alarm, if Kafka has no offset of ours.

    A ledger that knows of no answer belongs to a group that is new.
    """
    if not (view.watermark or view.done):
        return []
    start = partition.tracker.watermark
    index.answered(state, partition, [range(view.watermark), *view.done])
    above = within(view.done, view.watermark, partition.end)
    answered = view.watermark + sum(map(len, above))
    reached = partition.tracker.watermark
    before = within(above, view.watermark, start)
    deleted = start - view.watermark - sum(map(len, before))
    return [
        *_alarm(state, partition, Alarm.OFFSETS_EXPIRED, answered, reached),
        *_alarm(state, partition, Alarm.RECORDS_DELETED, deleted, start),
    ]


def _alarm(
    state: BridgeState,
    partition: PartitionIndex,
    alarm: Alarm,
    records: int,
    start: int,
) -> list[Command]:
    if records <= 0:
        return []
    state.alarms[alarm, partition.partition] += 1
    return [RaiseAlarm(alarm, partition.partition, records, start)]


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
            commands.append(cancel.on_record(state, partition, record, verdict))
        else:
            index.add_refused(partition, record)
            commands += _refuse(partition, verdict, record)
    return commands


def on_settle_failed(state: BridgeState, event: SettleFailed) -> list[Command]:
    """Keep what was not done, to try it again in a while.

    A draining bridge does not: the offset is not committed, so it is read again.
    """
    state.undelivered.append(event.command)
    return []


def duties(state: BridgeState) -> list[Command]:
    """Ask again for partitions that are not loaded, and try again what failed."""
    commands: list[Command] = []
    if due(state, "load", LOAD_RETRY_MS):
        commands += [_load(p) for p in state.partitions.values() if p.view is None]
    if due(state, "deliver", DELIVER_RETRY_MS) and not state.draining:
        again, state.undelivered = state.undelivered, []
        commands += [one for one in again if one.source in state.partitions]
    return commands


def _index(
    state: BridgeState,
    partition: PartitionIndex,
    record: InboundRecord,
    admission: Admission,
) -> None:
    entry = index.add(state, partition, record, admission)
    _adopt(state, partition, entry)


def _refuse(
    partition: PartitionIndex,
    refused: Refused,
    record: InboundRecord,
) -> list[Command]:
    """Put a record aside, unless an earlier owner may have done so."""
    if partition.view is None or redis_loss.is_doubted(partition, record.offset):
        partition.held.append((record, refused))
        redis_loss.extend(partition, record)
        return []
    return [PublishRefusal(refused.record, partition.source, record.offset)]


def _adopt(state: BridgeState, partition: PartitionIndex, entry: Indexed) -> None:
    """A request that an earlier owner admitted is in the ledger: look, do not admit."""
    view, offset = partition.view, entry.offset
    if view is not None and view.live.get(offset) == entry.key:
        index.move(state, entry, Stage.IN_FLIGHT)
    elif view is not None and redis_loss.is_doubted(partition, offset):
        redis_loss.mark(state, partition, entry)
