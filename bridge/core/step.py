"""The core: one event in, the next state and the commands that follow out.

Pure in what matters: no clock, socket, randomness or library; the same events give
the same commands. The state is changed in place and returned.
"""

from agentsched.ledger.records import ChangeKind
from bridge.core import (
    admitting,
    backpressure,
    committing,
    controlling,
    dispatching,
    doubt,
    ending,
    index,
    reading,
    reconciling,
    reporting,
)
from bridge.core.commands import BeatEpoch, Command, MeetPeers, ReadOrders
from bridge.core.events import (
    AdmitAnswered,
    Assigned,
    CallsCounted,
    Changed,
    CommitRefused,
    Committed,
    DrainStarted,
    EpochBeaten,
    EpochOpened,
    Event,
    Inspected,
    LookedUp,
    LookUpFailed,
    OffsetSettled,
    OrdersSeen,
    PartitionLoaded,
    PeersSeen,
    Read,
    RecordsDeleted,
    ReserveAnswered,
    Revoked,
    RulesChanged,
    SettleFailed,
    Synced,
    Tick,
    WithdrawAnswered,
)
from bridge.core.state import BridgeState, Lead, Stage, due

PEERS_MS = 1_000
"""Heartbeat, dispatcher lease and live slots: a third of the lease (3 s)."""


def step(state: BridgeState, event: Event) -> tuple[BridgeState, list[Command]]:
    """Take one event.

    Args:
        state: owned by this call; use the returned one afterwards.
        event: what happened.

    Returns:
        The next state, and what has to be done now, in this order.
    """
    state.now_ms = max(state.now_ms, getattr(event, "now_ms", 0))
    commands = _handle(state, event)
    return state, [
        *commands,
        *controlling.refuse(state),
        *admitting.plan(state),
        *dispatching.place(state),
    ]


def _handle(state: BridgeState, event: Event) -> list[Command]:  # noqa: C901, PLR0911, PLR0912
    match event:
        case Tick():
            state.ready_is_full = False
            return _duties(state)
        case Read():
            return [*reading.on_read(state, event), *backpressure.pause_full(state)]
        case Changed():
            return _on_changed(state, event)
        case AdmitAnswered():
            return admitting.on_admitted(state, event)
        case WithdrawAnswered():
            return admitting.on_withdrawn(state, event)
        case ReserveAnswered():
            return dispatching.on_reserved(state, event)
        case Inspected():
            return reconciling.on_inspected(state, event)
        case Synced():
            return dispatching.on_synced(state, event)
        case PeersSeen():
            return dispatching.on_peers(state, event)
        case OrdersSeen():
            return controlling.on_orders(state, event)
        case CallsCounted():
            return reporting.on_calls(state, event)
        case Assigned():
            return reading.on_assigned(state, event)
        case PartitionLoaded():
            return reading.on_loaded(state, event)
        case Revoked():
            index.drop_partition(state, event.source)
        case OffsetSettled():
            _settle(state, event.source, event.offset)
        case SettleFailed():
            return reading.on_settle_failed(state, event)
        case Committed():
            return committing.on_committed(state, event)
        case CommitRefused():
            return committing.on_refused(state, event)
        case RecordsDeleted():
            return reading.on_deleted(state, event)
        case EpochOpened():
            return _start_over(state, event)
        case EpochBeaten():
            if event.pulse > state.pulse:
                state.beats = event.pulse.beats
        case LookedUp():
            settled = doubt.on_looked_up(state, event)
            return [*settled, *reading.release_held(state)]
        case LookUpFailed():
            return doubt.on_look_up_failed(state, event)
        case RulesChanged():
            state.rules = event.rules
            controlling.note_blocked(state)
        case DrainStarted():
            state.draining = True
            leaving = admitting.withdraw_all(state)
            return [MeetPeers(lead=False), *leaving, *committing.commits(state)]
    return []


def _duties(state: BridgeState) -> list[Command]:
    commands: list[Command] = []
    if due(state, "peers", PEERS_MS):
        commands += [BeatEpoch(state.pulse, state.heard)]
        commands += [MeetPeers(lead=not state.draining), ReadOrders()]
    return [
        *commands,
        *doubt.duties(state),
        *ending.duties(state),
        *reading.duties(state),
        *committing.duties(state),
        *dispatching.duties(state),
        *reconciling.duties(state),
        *backpressure.duties(state),
        *reporting.duties(state),
    ]


def _on_changed(state: BridgeState, event: Changed) -> list[Command]:
    commands: list[Command] = []
    if event.changes and event.epoch == state.epoch:
        state.heard = event.changes[-1].at
    for change in event.changes:
        if change.kind is ChangeKind.GONE:
            return [BeatEpoch(state.pulse, change.at)]
        if change.kind is ChangeKind.ORDERS:
            commands = [ReadOrders()]
            continue
        if change.kind is ChangeKind.SETTLED:
            _settle(state, change.source, change.offset)
            continue
        if change.kind is ChangeKind.ENDING:
            commands += ending.on_marked(state, change.key)
            continue
        stage = _STAGE_AFTER.get(change.kind)
        for entry in index.with_key(state, change.key) if stage else ():
            if stage and entry.stage in (Stage.READY, Stage.IN_FLIGHT):
                index.move(state, entry, stage)
        dispatching.on_change(state, change)
    return commands


def _settle(state: BridgeState, source: str, offset: int) -> None:
    state.says.answered += index.settle(state, source, offset)


_STAGE_AFTER = {ChangeKind.READY: Stage.READY, ChangeKind.TAKEN: Stage.IN_FLIGHT}


def _start_over(state: BridgeState, event: EpochOpened) -> list[Command]:
    """Everything in the ledger is void: what was in it has to be looked up."""
    was_open = bool(state.epoch)
    state.epoch, state.beats, state.heard = event.epoch, event.beats, ""
    state.epoch_is_fresh = event.fresh
    state.lead = Lead(earned_ms=state.now_ms)
    return doubt.on_epoch(state, event, was_open=was_open)
