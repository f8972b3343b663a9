"""After a loss of Redis: what may have been answered is looked up in Kafka first.

A worker may have published a reply that the lost ledger knew of, or be about to. So what
may have been in flight waits until no reply of the old epoch can come any more, and is
then looked up in the reply topics and dead letters: what has an answer is settled, the
rest is admitted. It decides about offsets only; reading Kafka is an effect.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from agentsched.ledger.answered_offsets import runs_of, within
from agentsched.wire.commit_state import CommitState
from agentsched.wire.records import InboundRecord
from bridge.core import index
from bridge.core.commands import Command, LookUpReplies, OffsetRange, RestoreDone
from bridge.core.events import EpochOpened, LookedUp, LookUpFailed
from bridge.core.state import BridgeState, Doubt, Indexed, PartitionIndex, Stage, due

EVERY_MS = 500
UNKNOWN = (Stage.WAITING, Stage.DOUBTED)
"""What the ledger does not know."""
WORKERS_STOP_MS = 1_000
"""After its renewal was refused, a worker breaks its call off within this time."""


def on_epoch(
    state: BridgeState, event: EpochOpened, *, was_open: bool
) -> list[Command]:
    """Doubt what was admitted; restore in the new epoch what is known to be answered.

    Args:
        state: as it is in the new epoch.
        event: how the new epoch began.
        was_open: whether there was another one before, in this process.
    """
    timing = state.rules.settings.timing
    state.epoch_began_ms = state.now_ms - event.age_ms
    state.doubt_until_ms = state.epoch_began_ms + int(timing.loss_grace_s * 1000)
    if was_open:
        hold(state)
    commands: list[Command] = []
    for partition in state.partitions.values():
        if partition.view is None:
            continue  # what is doubted is decided when the ledger has answered
        # An earlier owner's, which were not read here yet, are doubted as well.
        live_end = max(partition.view.live, default=-1) + 1
        begin(partition, max(live_end, partition.tracker.next_offset))
        partition.view = replace(partition.view, live={})
        for entry in partition.entries.values():
            if entry.was_admitted:
                mark(state, partition, entry)
        tracker = partition.tracker
        answered = [range(partition.acknowledged, tracker.watermark), *tracker.runs]
        commands += _restore(partition.source, answered)
    return commands


def hold(state: BridgeState) -> None:
    """Start nothing before the workers have heard of the epoch: they may still call."""
    renew_ms = int(state.rules.settings.timing.renew_s * 1000)
    state.hold_until_ms = state.epoch_began_ms + renew_ms + WORKERS_STOP_MS


def is_left_by_another_epoch(
    state: BridgeState, inherited_state: CommitState | None
) -> bool:
    """Return whether requests of a partition may have been in flight in a lost ledger.

    Args:
        state: with the epoch that is open.
        inherited_state: what an earlier owner left in Kafka; None: no owner before, who is known.
    """
    if inherited_state is None or inherited_state.pulse.epoch == state.epoch:
        return False
    follows = state.pulse.generation == inherited_state.pulse.generation + 1
    return not (inherited_state.clean and follows and state.epoch_is_fresh)


def on_forgotten(state: BridgeState, entry: Indexed) -> None:
    """Doubt a request that the ledger should know, and does not."""
    grace_ms = int(state.rules.settings.timing.loss_grace_s * 1000)
    state.doubt_until_ms = max(state.doubt_until_ms, state.now_ms + grace_ms)
    partition = state.partitions[entry.source]
    begin(partition, entry.offset + 1)
    mark(state, partition, entry)


def begin(partition: PartitionIndex, end: int) -> None:
    """Doubt what stands below an offset and is marked as such."""
    before = partition.doubt or Doubt(end)
    partition.doubt = Doubt(max(end, before.end), before.since_ms)


def is_doubted(partition: PartitionIndex, offset: int) -> bool:
    """Return whether a record that is read now may have been answered."""
    return partition.doubt is not None and offset < partition.doubt.end


def mark(state: BridgeState, partition: PartitionIndex, entry: Indexed) -> None:
    """Let a request wait until it is looked up."""
    index.move(state, entry, Stage.DOUBTED)
    extend(partition, entry.record)


def extend(partition: PartitionIndex, record: InboundRecord) -> None:
    """Have an answer of this record looked for."""
    if (doubt := partition.doubt) is not None:
        after_ms = record.written_after_ms
        known_ms = after_ms if doubt.since_ms is None else doubt.since_ms
        doubt.since_ms, doubt.asked = min(known_ms, after_ms), False


def duties(state: BridgeState) -> list[Command]:
    """Look up what is doubted, when no reply of the old epoch can come any more."""
    if not due(state, "doubt", EVERY_MS):
        return []
    doubted = [
        (partition, partition.doubt)
        for partition in state.partitions.values()
        if partition.doubt is not None and not partition.doubt.asked
    ]
    wanted: list[OffsetRange] = []
    since_ms: list[int] = []
    for partition, doubt in doubted:
        if doubt.since_ms is None:
            if partition.tracker.next_offset >= doubt.end:
                partition.doubt = None  # all was read, and nothing of it is open
        elif state.now_ms >= state.doubt_until_ms:
            doubt.asked = True
            start = partition.tracker.watermark
            wanted.append(OffsetRange(partition.source, start, doubt.end))
            since_ms.append(doubt.since_ms)
    if not wanted:
        return []
    return [LookUpReplies(state.epoch, tuple(wanted), min(since_ms))]


def on_looked_up(state: BridgeState, event: LookedUp) -> list[Command]:
    """Settle what has an answer; let the rest wait for its admission."""
    commands: list[Command] = []
    for one in event.command.wanted:
        partition = _asked(state, event.command, one.source)
        if partition is None:
            continue
        found = _unknown_to_ledger(partition, event.found.get(one.source, ()))
        runs = within(runs_of(sorted(found)), one.start, one.end)
        same = _same_requests(state, partition, runs)
        index.answered(state, partition, runs)
        commands += _restore(partition.source, runs)
        for entry in same:
            offset = entry.offset
            index.settle(state, entry.source, offset)
            commands += _restore(entry.source, [range(offset, offset + 1)])
        partition.doubt = None
        for entry in partition.entries.values():
            if entry.stage is Stage.DOUBTED:
                index.move(state, entry, Stage.WAITING)
    return commands


def on_look_up_failed(state: BridgeState, event: LookUpFailed) -> list[Command]:
    """Look again at the next occasion: nothing is admitted on a guess."""
    for one in event.command.wanted:
        partition = _asked(state, event.command, one.source)
        if partition is not None and partition.doubt is not None:
            partition.doubt.asked = False
    return []


def _unknown_to_ledger(
    partition: PartitionIndex, found: Collection[int]
) -> Iterator[int]:
    """Leave out what the open epoch knows: there it ends in the normal way."""
    live = partition.view.live if partition.view else {}
    for offset in found:
        entry = partition.entries.get(offset)
        if offset not in live and (entry is None or entry.stage in UNKNOWN):
            yield offset


def _restore(source: str, runs: Iterable[range]) -> list[Command]:
    known = tuple(run for run in runs if run)
    return [RestoreDone(source, known)] if known else []


def _asked(
    state: BridgeState, command: LookUpReplies, source: str
) -> PartitionIndex | None:
    """Return the partition if it still waits for this very look-up."""
    partition = state.partitions.get(source)
    if partition is None or partition.doubt is None or not partition.doubt.asked:
        return None
    return partition if command.epoch == state.epoch else None


def _same_requests(
    state: BridgeState, partition: PartitionIndex, runs: Iterable[range]
) -> list[Indexed]:
    """Return doubted records in which the agent sent an answered request again."""
    answered = [
        entry
        for run in runs
        for offset in run
        if (entry := partition.entries.get(offset)) is not None
    ]
    return [
        other
        for entry in answered
        for other in index.with_key(state, entry.key)
        if other is not entry
        and other.stage is Stage.DOUBTED
        and other.payload_hash == entry.payload_hash
    ]
