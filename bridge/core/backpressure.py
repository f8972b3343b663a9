"""Pauses partitions whose part of the index is full, and resumes them with hysteresis."""

from bridge.core.commands import Command, Pause, Resume
from bridge.core.state import BridgeState, PartitionIndex, due

EVERY_MS = 1_000
"""librdkafka purges its queue on pause: at most one change a second."""
RESUME_RATIO = 0.7
"""A paused partition reads on when it is down to this part of its share."""


def duties(state: BridgeState) -> list[Command]:
    """Decide which partitions pause and which read on."""
    if not due(state, "backpressure", EVERY_MS):
        return []
    count = max(1, len(state.partitions))
    limits = state.rules.settings.limits
    pause, resume = [], []
    for partition in state.partitions.values():
        fill = fill_ratio(
            partition,
            share_bytes=limits.index_max_bytes / count,
            share_records=limits.index_max_records / count,
        )
        if fill >= 1 and not partition.paused:
            partition.paused = True
            pause.append(partition.partition)
        elif fill <= RESUME_RATIO and partition.paused:
            partition.paused = False
            resume.append(partition.partition)
    commands: list[Command] = [Pause(tuple(pause))] if pause else []
    return [*commands, Resume(tuple(resume))] if resume else commands


def fill_ratio(
    partition: PartitionIndex, *, share_bytes: float, share_records: float
) -> float:
    """Return how much of its share a partition uses; 1 and more is full."""
    return max(
        partition.size_bytes / share_bytes, len(partition.entries) / share_records
    )
