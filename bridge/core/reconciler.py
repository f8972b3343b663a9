"""Finds what got lost: leases, replies, entries of the ledger.

It starts from this bridge's own partitions, not from Redis keys: whatever the
ledger has forgotten is still an unanswered offset here.
"""

from agentsched.ledger.values import EntryView, State
from agentsched.types import ReplyError
from agentsched.wire.terminal_errors import BLOCKED, MODEL_REMOVED
from bridge.core import index, operator_orders, redis_loss, termination
from bridge.core.commands import Command, Expire, Inspect, SendStored
from bridge.core.events import Inspected
from bridge.core.state import BridgeState, Entries, Indexed, Stage, due

EVERY_MS = 250
STARTED_FOR_MS = 1_000
"""What runs is looked at again after this time: its lease may be over."""
SETTLED_FOR_MS = 2_000
"""An entry whose stage changed so recently is left alone, if it does not run."""
LEAST = 125
"""Entries in one look: 500 a second."""
ROUND_LOOKS = 16
"""So many looks see all that runs, however much that is: a dead lease is seen 4 s after
its end."""
BATCH = 500
"""Entries in one command: a few milliseconds of Redis."""
RESEND_GRACE_MS = 2_000
"""Beyond the worker's own delivery time-out (design, 3.5)."""


def duties(state: BridgeState) -> list[Command]:
    """Ask for a look at the entries that were not looked at for longest."""
    if not due(state, "reconcile", EVERY_MS):
        return []
    most = max(LEAST, -(-len(state.running) // ROUND_LOOKS))
    keys = _oldest(state, state.running, STARTED_FOR_MS, most)
    keys += _oldest(state, state.resting, SETTLED_FOR_MS, LEAST)
    return [Inspect(tuple(keys[at : at + BATCH])) for at in range(0, len(keys), BATCH)]


def _oldest(
    state: BridgeState, entries: Entries, after_ms: int, most: int
) -> list[str]:
    """Take what was not looked at for longest; it stands at the end then."""
    keys: list[str] = []
    for _ in range(min(most, len(entries))):
        entry = next(iter(entries))
        if entry.checked_ms > state.now_ms - after_ms:
            break
        index.looked_at(state, entry)
        keys.append(entry.key)
    return keys


def on_inspected(state: BridgeState, event: Inspected) -> list[Command]:
    """Mend what the look has shown."""
    commands: list[Command] = []
    for key, view in zip(event.keys, event.views, strict=True):
        for entry in index.with_key(state, key):
            if entry.stage in (Stage.READY, Stage.LEAVING, Stage.IN_FLIGHT):
                commands += _mend(state, entry, view)
    return list(dict.fromkeys(commands))  # one for all offsets of a request


def _mend(state: BridgeState, entry: Indexed, view: EntryView | None) -> list[Command]:
    if view is None or not view.has_payload(entry.payload_hash.hex()):
        # Of another payload: a Redis that was put back forgot this one, and its identity
        # was taken. That one's reply would settle this record unanswered.
        redis_loss.on_forgotten(state, entry)
        return []
    if (error := _ending(state, entry, view)) is not None:
        return termination.end_known(entry, error, view.attempts)
    match view.state:
        case State.ANSWERED if entry.repeats:
            index.move(state, entry, Stage.WAITING)
        case State.ANSWERED:
            index.settle(state, entry.source, entry.offset)
        case State.READY if entry.stage is Stage.IN_FLIGHT:
            index.move(state, entry, Stage.READY)
        case State.RUNNING if view.lease_left_ms <= 0:
            return [Expire(entry.key)]
        case State.DONE:
            timing = state.rules.settings.timing
            if view.since_ms >= timing.delivery_timeout_s * 1000 + RESEND_GRACE_MS:
                return [SendStored(entry.key)]
    return []


def _ending(state: BridgeState, entry: Indexed, view: EntryView) -> ReplyError | None:
    """Return why an entry has to end without a call; None when it may go on."""
    if view.state is State.READY and not _has_model(state, entry):
        return MODEL_REMOVED
    if view.state is State.READY and operator_orders.is_blocked(state, entry):
        return BLOCKED
    return termination.ending_of(view)


def _has_model(state: BridgeState, entry: Indexed) -> bool:
    return any(name in state.rules.models for name in entry.traits.models)
