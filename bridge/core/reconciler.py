"""Finds what got lost: doorbells, leases, replies, entries of the ledger.

It starts from this bridge's own partitions, not from Redis keys: whatever the
ledger has forgotten is still an unanswered offset here.
"""

from collections.abc import Mapping

from agentsched.ledger.values import EntryView, State
from agentsched.types import ReplyError
from agentsched.wire.terminal_errors import BLOCKED, MODEL_REMOVED
from bridge.core import index, operator_orders, redis_loss, termination
from bridge.core.commands import (
    Command,
    Expire,
    Inspect,
    RingAgain,
    SendStored,
    Unreserve,
)
from bridge.core.events import Inspected
from bridge.core.state import BridgeState, Indexed, Stage, due

EVERY_MS = 1_000
SETTLED_FOR_MS = 2_000
"""An entry whose stage changed so recently is left alone."""
BATCH = 500
"""Entries in one look: a few milliseconds of Redis."""
RESEND_GRACE_MS = 2_000
"""Beyond the worker's own delivery time-out (design, 3.5)."""
MAX_RING_BACKOFF_MS = 60_000
MAX_RINGS = 16
"""The pause does not grow after so many rings; the number itself may."""


def duties(state: BridgeState) -> list[Command]:
    """Ask for a look at the entries that were not looked at for longest."""
    if not due(state, "reconcile", EVERY_MS):
        return []
    oldest = state.now_ms - SETTLED_FOR_MS
    entries = [
        entry
        for entry in state.all_admitted()
        if entry.checked_ms <= oldest and entry.stage is not Stage.ADMITTING
    ]
    entries.sort(key=lambda entry: entry.checked_ms)
    looked = entries[:BATCH]
    for entry in looked:
        entry.checked_ms = state.now_ms
    return [Inspect(tuple(entry.key for entry in looked))] if looked else []


def on_inspected(state: BridgeState, event: Inspected) -> list[Command]:
    """Mend what the look has shown."""
    commands: list[Command] = []
    for key, view in zip(event.keys, event.views, strict=True):
        for entry in index.with_key(state, key):
            if entry.stage in (Stage.READY, Stage.LEAVING, Stage.IN_FLIGHT):
                commands += _mend(state, entry, view, event.doorbells)
    return list(dict.fromkeys(commands))  # one for all offsets of a request


def _mend(
    state: BridgeState,
    entry: Indexed,
    view: EntryView | None,
    doorbells: Mapping[str, int],
) -> list[Command]:
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
        case State.RUNG:
            return _lost_doorbell(state, entry, view, doorbells)
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
    settings = state.rules.settings
    return any(settings.model(name) for name in entry.traits.models)


def _lost_doorbell(
    state: BridgeState,
    entry: Indexed,
    view: EntryView,
    doorbells: Mapping[str, int],
) -> list[Command]:
    """Ring again what nobody claimed; give it back where nobody could claim it."""
    if view.since_ms < backoff_ms(state, entry.rings):
        return []
    stopped = not operator_orders.starts(state, view.model)
    if stopped or not state.live_slots.get(view.model):
        return [Unreserve(entry.key, view.ring)]
    if doorbells.get(view.model, 0) > 0:
        return []  # it lies in the queue: the workers are busy, nothing is lost
    entry.rings += 1
    return [RingAgain(entry.facts, view.ring, view.model)]


def backoff_ms(state: BridgeState, rings: int) -> int:
    """Return how long a doorbell may stay unclaimed: 5, 10, 20 ... 60 s."""
    first_ms = state.rules.settings.timing.ring_again_s * 1000
    return int(
        min(first_ms * 2 ** min(rings, MAX_RINGS), max(first_ms, MAX_RING_BACKOFF_MS))
    )
