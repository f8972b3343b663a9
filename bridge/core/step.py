"""The core: one event in, the next state and the commands that follow out.

Pure in what matters: no clock, socket, randomness or library; the same events give
the same commands. The state is changed in place and returned.
"""

from collections.abc import Callable
from typing import Any

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
from bridge.core import events as ev
from bridge.core.commands import BeatEpoch, Command, MeetPeers, ReadOrders
from bridge.core.events import Event
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
    return state, _HANDLERS[type(event)](state, event)


def has_more(state: BridgeState) -> bool:
    """Return whether the next round has something to do that the last one began."""
    return bool(state.unsettled or state.dropped) or dispatcher.has_more(state)


def _on_round(state: BridgeState, event: ev.Round) -> list[Command]:
    """Decide once what follows from all that has come."""
    del event
    index.drop_more(state)
    return [
        *operator_orders.refuse(state),
        *admission.plan(state),
        *dispatcher.plan(state),
    ]


def _on_tick(state: BridgeState, event: ev.Tick) -> list[Command]:
    del event
    admission.try_again(state)
    return _duties(state)


def _on_read(state: BridgeState, event: ev.Read) -> list[Command]:
    return [*partitions.on_read(state, event), *backpressure.pause_full(state)]


def _on_orders(state: BridgeState, event: ev.OrdersSeen) -> list[Command]:
    dispatcher.on_orders(state, event)
    return operator_orders.on_orders(state, event)


def _on_peers(state: BridgeState, event: ev.PeersSeen) -> list[Command]:
    if event.bridges != state.bridges:
        admission.look_at_all(state)  # in the next round: the share is another one
    return dispatcher.on_peers(state, event)


def _on_loaded(state: BridgeState, event: ev.PartitionLoaded) -> list[Command]:
    admission.let_in(state)
    return partitions.on_loaded(state, event)


def _on_committed(state: BridgeState, event: ev.Committed) -> list[Command]:
    admission.let_in(state)
    return commit.on_committed(state, event)


def _on_revoked(state: BridgeState, event: ev.Revoked) -> list[Command]:
    index.drop_partition(state, event.source)
    return []


def _on_settled(state: BridgeState, event: ev.OffsetSettled) -> list[Command]:
    _settle(state, event.source, event.offset)
    return []


def _on_beaten(state: BridgeState, event: ev.EpochBeaten) -> list[Command]:
    if event.pulse > state.pulse:
        state.beats = event.pulse.beats
    return []


def _on_looked_up(state: BridgeState, event: ev.LookedUp) -> list[Command]:
    settled = redis_loss.on_looked_up(state, event)
    return [*settled, *partitions.release_held(state)]


def _on_rules(state: BridgeState, event: ev.RulesChanged) -> list[Command]:
    state.adopt(event.rules)
    operator_orders.refresh_blocked(state)
    dispatcher.changed(state)
    admission.look_at_all(state)
    return [ReadOrders()]  # their revision is another one, too


def _on_drain(state: BridgeState, event: ev.DrainStarted) -> list[Command]:
    del event
    state.draining = True
    leaving = admission.withdraw_all(state)
    return [MeetPeers(lead=False), *leaving, *commit.commits(state)]


def _duties(state: BridgeState) -> list[Command]:
    commands: list[Command] = []
    if due(state, "peers", PEERS_MS):
        commands += [BeatEpoch(state.pulse, state.last_change)]
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


def _on_changed(state: BridgeState, event: ev.Changed) -> list[Command]:
    commands: list[Command] = []
    if event.changes and event.epoch == state.epoch:
        state.last_change = event.changes[-1].at
    for change in event.changes:
        if change.kind is ChangeKind.GONE:
            return [BeatEpoch(state.pulse, change.at)]
        if change.kind is ChangeKind.ORDERS:
            commands.append(ReadOrders())
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
    if event.epoch in (
        "",
        state.epoch,
    ):  # the board is of the open epoch, and so are the places in its log
        dispatcher.on_changes(state, event.changes)
    return list(dict.fromkeys(commands))


def _settle(state: BridgeState, source: str, offset: int) -> None:
    state.counts.answered += index.settle(state, source, offset)


def _repeat(state: BridgeState, key: str) -> None:
    """A request is answered: who sent it again in between gets the reply again."""
    for entry in index.with_key(state, key):
        if entry.repeats and entry.stage is Stage.IN_FLIGHT:
            index.move(state, entry, Stage.WAITING)


_STAGE_AFTER = {ChangeKind.READY: Stage.READY, ChangeKind.TAKEN: Stage.IN_FLIGHT}


def _start_over(state: BridgeState, event: ev.EpochOpened) -> list[Command]:
    """Everything in the ledger is void: what was in it has to be looked up."""
    was_open = bool(state.epoch)
    state.epoch, state.beats, state.last_change = event.epoch, event.beats, ""
    state.epoch_is_fresh = event.fresh
    state.lead = Lead(met_ms=state.lead.met_ms)
    return redis_loss.on_epoch(state, event, was_open=was_open)


_HANDLERS: dict[type[Event], Callable[[BridgeState, Any], list[Command]]] = {
    ev.AdmitAnswered: admission.on_admitted,
    ev.Assigned: partitions.on_assigned,
    ev.CallsCounted: report.on_calls,
    ev.Changed: _on_changed,
    ev.CommitRefused: commit.on_refused,
    ev.Committed: _on_committed,
    ev.DrainStarted: _on_drain,
    ev.EpochBeaten: _on_beaten,
    ev.EpochOpened: _start_over,
    ev.Inspected: reconciler.on_inspected,
    ev.LookedUp: _on_looked_up,
    ev.LookUpFailed: redis_loss.on_look_up_failed,
    ev.OffsetSettled: _on_settled,
    ev.OrdersSeen: _on_orders,
    ev.PartitionLoaded: _on_loaded,
    ev.PeersSeen: _on_peers,
    ev.Planned: dispatcher.on_planned,
    ev.Read: _on_read,
    ev.RecordsDeleted: partitions.on_deleted,
    ev.Revoked: _on_revoked,
    ev.Round: _on_round,
    ev.RulesChanged: _on_rules,
    ev.SettleFailed: partitions.on_settle_failed,
    ev.Synced: dispatcher.on_synced,
    ev.Tick: _on_tick,
    ev.WithdrawAnswered: admission.on_withdrawn,
}
"""Every event with who takes it."""
