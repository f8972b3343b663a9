"""Cancels: a record that asks for one, and the request that it ends, wherever it waits.

A request may be cancelled before it was read: the wish is kept in the ledger.
"""

from agentsched.wire.records import InboundRecord
from agentsched.wire.terminal_errors import CANCELLED
from bridge.core import index, termination
from bridge.core.commands import Cancel, Command, Inspect
from bridge.core.intake import Cancellation
from bridge.core.state import BridgeState, Indexed, PartitionIndex, Stage


def on_record(
    state: BridgeState,
    partition: PartitionIndex,
    record: InboundRecord,
    cancellation: Cancellation,
) -> Cancel:
    """Return the command that marks the request; the record is settled by it."""
    keep_s = state.rules.settings.limits.horizon_s
    return Cancel(cancellation.key, keep_s, partition.source, record.offset)


def on_marked(state: BridgeState, key: str) -> list[Command]:
    """A request has to end: answer it, if it is one of ours."""
    entries = index.with_key(state, key)
    waiting = [entry for entry in entries if entry.stage is Stage.WAITING]
    commands = end_cancelled(state, waiting)
    if any(entry.stage in (Stage.READY, Stage.IN_FLIGHT) for entry in entries):
        commands.append(Inspect((key,)))
    return commands


def end_cancelled(state: BridgeState, entries: list[Indexed]) -> list[Command]:
    """Answer requests that are only in Kafka."""
    return termination.end_waiting(state, entries, CANCELLED)
