"""Pauses partitions whose part of the index is full, and resumes them with hysteresis."""

from bridge.core.commands import Command, Pause, Resume
from bridge.core.state import BridgeState, PartitionIndex, due

EVERY_MS = 1_000
"""librdkafka purges its queue on pause: nothing reads on earlier, so that no partition is
paused twice within this time."""
BYTES_RATIO = 0.95
"""At this part of its share of memory a partition is full: what one read brings beyond,
which is what the client has read ahead (16 MiB), has room in the rest of 1 GiB."""
RESUME_RATIO = 0.7
"""A paused partition reads on when it is down to this part of its share."""


def pause_full(state: BridgeState) -> list[Command]:
    """Pause what is full; at once, a second of reading may bring more than has room."""
    full = [
        partition
        for partition in state.partitions.values()
        if not partition.paused and fill_ratio(state, partition) >= 1
    ]
    for partition in full:
        partition.paused = True
    return [Pause(tuple(each.partition for each in full))] if full else []


def duties(state: BridgeState) -> list[Command]:
    """Decide which partitions pause and which read on."""
    if not due(state, "backpressure", EVERY_MS):
        return []
    drained = [
        partition
        for partition in state.partitions.values()
        if partition.paused and fill_ratio(state, partition) <= RESUME_RATIO
    ]
    for partition in drained:
        partition.paused = False
    commands = pause_full(state)  # the share shrinks when partitions come
    if drained:
        commands.append(Resume(tuple(each.partition for each in drained)))
    return commands


def fill_ratio(state: BridgeState, partition: PartitionIndex) -> float:
    """Return how much of its share a partition uses; 1 and more is full.

    Records that become dead letters take their share, too, until they are settled.
    """
    limits, count = state.rules.settings.limits, len(state.partitions)
    records = len(partition.entries) + len(partition.refused)
    return count * max(
        partition.size_bytes / (BYTES_RATIO * limits.index_max_bytes),
        records / limits.index_max_records,
    )
