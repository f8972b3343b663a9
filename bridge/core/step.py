"""The core: one event in, the next state and the commands that follow out.

Pure in what matters: no clock, socket, randomness or library; the same events give
the same commands. The state is changed in place and returned.
"""

from agentsched.ledger.values import ChangeKind
from bridge.core import (
    admission,
    backpressure,
    cancel,
    commit,
    deadline,
    dispatcher,
    index,
    operator_orders,
    partitions,
    reconciler,
    redis_loss,
    report,
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
        *operator_orders.refuse(state),
        *admission.plan(state),
        *dispatcher.place(state),
    ]


def _handle(state: BridgeState, event: Event) -> list[Command]:  # noqa: C901, PLR0911, PLR0912
    match event:
        case Tick():
            state.ready_is_full = False
            return _duties(state)
        case Read():
            return [*partitions.on_read(state, event), *backpressure.pause_full(state)]
        case Changed():
            return _on_changed(state, event)
        case AdmitAnswered():
            return admission.on_admitted(state, event)
        case WithdrawAnswered():
            return admission.on_withdrawn(state, event)
        case ReserveAnswered():
            return dispatcher.on_reserved(state, event)
        case Inspected():
            return reconciler.on_inspected(state, event)
        case Synced():
            return dispatcher.on_synced(state, event)
        case PeersSeen():
            return dispatcher.on_peers(state, event)
        case OrdersSeen():
            return operator_orders.on_orders(state, event)
        case CallsCounted():
            return report.on_calls(state, event)
        case Assigned():
            return partitions.on_assigned(state, event)
        case PartitionLoaded():
            return partitions.on_loaded(state, event)
        case Revoked():
            index.drop_partition(state, event.source)
        case OffsetSettled():
            _settle(state, event.source, event.offset)
        case SettleFailed():
            return partitions.on_settle_failed(state, event)
        case Committed():
            return commit.on_committed(state, event)
        case CommitRefused():
            return commit.on_refused(state, event)
        case RecordsDeleted():
            return partitions.on_deleted(state, event)
        case EpochOpened():
            return _start_over(state, event)
        case EpochBeaten():
            if event.pulse > state.pulse:
                state.beats = event.pulse.beats
        case LookedUp():
            settled = redis_loss.on_looked_up(state, event)
            return [*settled, *partitions.release_held(state)]
        case LookUpFailed():
            return redis_loss.on_look_up_failed(state, event)
        case RulesChanged():
            state.rules = event.rules
            operator_orders.note_blocked(state)
        case DrainStarted():
            state.draining = True
            leaving = admission.withdraw_all(state)
            return [MeetPeers(lead=False), *leaving, *commit.commits(state)]
    return []


def _duties(state: BridgeState) -> list[Command]:
    commands: list[Command] = []
    if due(state, "peers", PEERS_MS):
        commands += [BeatEpoch(state.pulse, state.heard)]
        commands += [MeetPeers(lead=not state.draining), ReadOrders()]
    return [
        *commands,
        *redis_loss.duties(state),
        *deadline.duties(state),
        *partitions.duties(state),
        *commit.duties(state),
        *dispatcher.duties(state),
        *reconciler.duties(state),
        *backpressure.duties(state),
        *report.duties(state),
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
            _repeat(state, change.key)
            continue
        if change.kind is ChangeKind.ENDING:
            commands += cancel.on_marked(state, change.key)
            continue
        stage = _STAGE_AFTER.get(change.kind)
        for entry in index.with_key(state, change.key) if stage else ():
            if stage and entry.stage in (Stage.READY, Stage.IN_FLIGHT):
                index.move(state, entry, stage)
        dispatcher.on_change(state, change)
    return commands


def _settle(state: BridgeState, source: str, offset: int) -> None:
    state.says.answered += index.settle(state, source, offset)


def _repeat(state: BridgeState, key: str) -> None:
    """A request is answered: who sent it again in between gets the reply again."""
    for entry in index.with_key(state, key):
        if entry.repeats and entry.stage is Stage.IN_FLIGHT:
            index.move(state, entry, Stage.WAITING)


_STAGE_AFTER = {ChangeKind.READY: Stage.READY, ChangeKind.TAKEN: Stage.IN_FLIGHT}


def _start_over(state: BridgeState, event: EpochOpened) -> list[Command]:
    """Everything in the ledger is void: what was in it has to be looked up."""
    was_open = bool(state.epoch)
    state.epoch, state.beats, state.heard = event.epoch, event.beats, ""
    state.epoch_is_fresh = event.fresh
    state.lead = Lead(earned_ms=state.now_ms)
    return redis_loss.on_epoch(state, event, was_open=was_open)
