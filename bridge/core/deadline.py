"""Deadlines: finds what is overdue, in Kafka and in the ledger."""

from agentsched.wire.terminal_errors import OVERDUE
from bridge.core import index, termination
from bridge.core.commands import Command, Inspect
from bridge.core.state import BridgeState, Indexed, Stage

RECHECK_MS = 1_000
"""When an overdue request is looked at again that is not answered yet."""
BATCH = 500
"""Overdue requests in one tick: of a burst of n that expire together the last is looked at
after n/10,000 seconds; what answers them takes longer."""


def duties(state: BridgeState) -> list[Command]:
    """Answer what is overdue and waits in Kafka; have a look at what is admitted."""
    if state.draining:
        return []
    now_ms = state.ledger_now_ms
    waiting: list[Indexed] = []
    admitted: list[Indexed] = []
    for _ in range(BATCH):
        entry = state.deadlines.best()
        if entry is None or entry.watched[0] > now_ms:
            break
        index.watch_deadline(state, entry, now_ms + RECHECK_MS)
        if entry.stage is Stage.WAITING:
            waiting.append(entry)
        elif entry.stage in (Stage.READY, Stage.IN_FLIGHT):
            admitted.append(entry)
    for entry in admitted:
        index.looked_at(state, entry)
    keys = tuple(entry.key for entry in admitted)
    looks = [Inspect(keys)] if keys else []
    return [*looks, *termination.end_waiting(state, waiting, OVERDUE)]
