"""The dispatcher: follows the ledger's changes, decides what starts, rings doorbells.

Only the bridge that holds the dispatcher lease does this, for the entries of all
bridges.
"""

from dataclasses import replace

from agentsched.ledger.values import (
    Change,
    ChangeKind,
    ReserveOutcome,
    Slot,
    log_position,
)
from agentsched.scheduling.floors import ClassFloors
from agentsched.scheduling.placement import Placement, Supply, plan
from agentsched.wire.doorbell import Doorbell
from bridge.core import operator_orders
from bridge.core.commands import Command, Reserve, Ring, TakeSnapshot
from bridge.core.events import PeersSeen, ReserveAnswered, Synced
from bridge.core.state import BridgeState, Lead, due

RESYNC_MS = 5_000
"""The change log is a hint: the picture is taken anew this often."""


def on_peers(state: BridgeState, event: PeersSeen) -> list[Command]:
    """Note who is there; a new dispatcher begins with a snapshot."""
    if event.leading and not state.leading:
        state.lead = Lead(earned_ms=state.now_ms)
    state.bridges = event.bridges
    state.leading = event.leading
    state.live_slots = dict(event.live_slots)
    if event.ledger_ahead_ms is not None:
        state.ledger_ahead_ms = event.ledger_ahead_ms
    return []


def duties(state: BridgeState) -> list[Command]:
    """Ask for a snapshot when the last one is old, or there is none."""
    if not state.leading or state.draining:
        return []
    if state.lead.synced_ms < 0 or due(state, "resync", RESYNC_MS):
        state.last_ms["resync"] = state.now_ms
        return [TakeSnapshot()]
    return []


def on_synced(state: BridgeState, event: Synced) -> list[Command]:
    """Replace the picture by the snapshot."""
    may_start = tuple(
        entry
        for entry in event.snapshot.ready
        if entry.facts.agent_id not in state.blocked
    )
    snapshot = replace(event.snapshot, ready=may_start)
    state.lead.board.reset(snapshot, state.now_ms)
    state.lead.cursor = event.snapshot.cursor
    state.lead.synced_ms = state.now_ms
    return []


def on_change(state: BridgeState, change: Change) -> None:
    """Apply one change to the board."""
    lead = state.lead
    if not state.leading or log_position(change.at) <= log_position(lead.cursor):
        return
    match change.kind:
        case ChangeKind.READY if change.ready is not None:
            if change.ready.facts.agent_id not in state.blocked:
                lead.board.ready(change.ready, state.now_ms)
        case ChangeKind.LEFT:
            lead.board.left(change.key)
        case ChangeKind.TAKEN if change.slot is not None:
            lead.board.taken(change.slot, state.now_ms)
        case ChangeKind.FREED:
            _settle_floor(lead, lead.board.freed(change.key, state.now_ms))


def place(state: BridgeState) -> list[Command]:
    """Decide which requests start now."""
    lead = state.lead
    if not state.leading or state.draining or lead.synced_ms < 0:
        return []
    if state.now_ms < state.hold_until_ms:
        return []
    lead.board.wake(state.now_ms)
    if not lead.board.has_ready():
        lead.earned_ms = state.now_ms  # nothing is earned while nothing waits
        return []
    supply = Supply(
        capacity=state.rules.capacity(),
        live={
            model: slots
            for model, slots in state.live_slots.items()
            if operator_orders.starts(state, model)
        },
        max_in_flight=state.rules.settings.limits.max_in_flight,
    )
    _earn(state, supply)
    placements = plan(lead.board, supply, lead.floors, state.now_ms)
    return [_reserve(placement) for placement in placements]


def on_reserved(state: BridgeState, event: ReserveAnswered) -> list[Command]:
    """Ring the doorbell of a reservation; correct the picture where it was refused."""
    if event.outcome is ReserveOutcome.RESERVED:
        done = event.command
        doorbell = Doorbell.of(done.facts, done.ring, state.epoch, done.model)
        return [Ring(doorbell)]
    if event.outcome is ReserveOutcome.NOT_DISPATCHER:
        state.leading = False
        return []
    freed = state.lead.board.freed(event.command.key, state.now_ms)
    if freed and (floors := state.lead.floors.get(freed[0].model)):
        floors.cancel(event.command.key, freed[0].cls)
    state.lead.synced_ms = -1  # the picture was wrong: take it anew
    return []


def _reserve(placement: Placement) -> Reserve:
    return Reserve(
        facts=placement.entry.facts,
        ring=placement.entry.ring + 1,
        model=placement.model,
        endpoint=placement.endpoint,
    )


def _earn(state: BridgeState, supply: Supply) -> None:
    lead = state.lead
    elapsed_ms = state.now_ms - lead.earned_ms
    lead.earned_ms = state.now_ms
    models = dict.fromkeys(model for model, _ in supply.capacity)
    for model in models:
        floors = lead.floors.setdefault(model, ClassFloors())
        capacity = sum(n for (name, _), n in supply.capacity.items() if name == model)
        live = min(capacity, supply.live.get(model, 0))
        if elapsed_ms > 0 and live:
            floors.earn(
                elapsed_ms,
                live,
                lambda cls, model=model: lead.board.waits(model, cls),  # type: ignore[misc]
            )


def _settle_floor(lead: Lead, freed: tuple[Slot, int] | None) -> None:
    if freed is None:
        return
    slot, took_ms = freed
    floors = lead.floors.setdefault(slot.model, ClassFloors())
    floors.settle(slot.key, slot.cls, took_ms)
