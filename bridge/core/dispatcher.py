"""The dispatcher: follows the ledger's changes, lists what may start, rings doorbells.

Only the bridge that holds the dispatcher lease does this, for the entries of all
bridges. Workers take what is listed by themselves (`agentsched.ledger.turns`).
"""

from collections.abc import Sequence
from dataclasses import replace

from agentsched.ledger.turns import Plan, PlanOutcome
from agentsched.ledger.values import (
    Admission,
    AdmitOutcome,
    Admitted,
    Change,
    ChangeKind,
    ReadyEntry,
    Slot,
    State,
    log_position,
)
from agentsched.scheduling.board import Ended
from agentsched.scheduling.floors import ClassFloors
from agentsched.scheduling.supply import Supply
from agentsched.wire.doorbell import Doorbell
from bridge.core import operator_orders
from bridge.core.commands import (
    BeatEpoch,
    Command,
    PlanStarts,
    ReadOrders,
    Ring,
    TakeSnapshot,
)
from bridge.core.events import OrdersSeen, PeersSeen, Planned, Synced
from bridge.core.state import BridgeState, Lead, due

RESYNC_MS = 5_000
"""The change log is a hint: the picture is taken anew this often."""
RESYNC_PER_MS = 0.5
"""And no sooner than a ms for so many entries and slots: reading them takes time."""
FLOORS_MS = 1_000
"""How often it is looked whether a floor is owed where nothing else changes."""


def on_peers(state: BridgeState, event: PeersSeen) -> list[Command]:
    """Note who is there; a new dispatcher begins with a snapshot."""
    lease_ms = int(state.rules.settings.timing.dispatcher_lease_s * 1000)
    # Else another bridge may have led in between, and what is listed is its own.
    is_ours_still = state.leading and event.now_ms - state.lead.met_ms < lease_ms
    if event.leading and not is_ours_still:
        state.lead = Lead()
    state.lead.met_ms = event.now_ms
    state.bridges = event.bridges
    state.leading = event.leading
    if state.live_slots != event.live_slots:
        state.live_slots = dict(event.live_slots)
        changed(state)
    state.lead.asks = True
    if event.ledger_ahead_ms is not None:
        state.ledger_ahead_ms = event.ledger_ahead_ms
    return []


def changed(state: BridgeState) -> None:
    """Limits, orders or workers are other ones: every list is looked at again."""
    state.lead.supply = None
    state.lead.board.touch()


def duties(state: BridgeState) -> list[Command]:
    """Ask for a snapshot when the last one is old, or there is none."""
    if not state.leading or state.draining:
        return []
    lead = state.lead
    lead.asks |= lead.bells.is_due(state.now_ms)
    if due(state, "floors", FLOORS_MS):
        lead.board.touch()
    every_ms = max(RESYNC_MS, int(len(lead.board) / RESYNC_PER_MS))
    if lead.synced_ms < 0 or due(state, "resync", every_ms):
        state.last_ms["resync"] = state.now_ms
        return [TakeSnapshot()]
    return []


def on_synced(state: BridgeState, event: Synced) -> list[Command]:
    """Replace the picture by the snapshot."""
    lead, now_ms = state.lead, state.now_ms
    may_start = tuple(
        entry
        for entry in event.snapshot.ready
        if entry.facts.agent_id not in state.blocked
    )
    ended, new = lead.board.reset(replace(event.snapshot, ready=may_start), now_ms)
    for one in ended:  # what freed them is older than the snapshot: nobody tells of it
        _settle(lead, one)
    if lead.synced_ms >= 0:
        for slot in new:
            _charge(lead, slot)
    # Redis may have dropped what it was given, or lost the last plan: nobody tells.
    lead.lists.forget(lead.board)
    lead.expected.clear()
    lead.cursor = event.snapshot.cursor
    lead.synced_ms = now_ms
    lead.asks = True
    return []


def on_changes(state: BridgeState, changes: Sequence[Change]) -> None:
    """Apply changes to the board; what the snapshot has already is skipped."""
    if not state.leading or not changes:
        return
    cursor = log_position(state.lead.cursor)
    at, is_new = "", False
    for change in changes:
        if change.at != at:  # one script's changes stand at one place
            at, is_new = change.at, log_position(change.at) > cursor
        if is_new:
            _apply(state, change)


def _apply(state: BridgeState, change: Change) -> None:
    lead, kind = state.lead, change.kind
    if kind is ChangeKind.READY and (entry := change.ready) is not None:
        lead.expected.pop(entry.facts.key, None)
        if entry.facts.agent_id not in state.blocked:
            lead.board.ready(entry, state.now_ms)
    elif kind in (ChangeKind.LEFT, ChangeKind.ENDING):  # neither may start
        lead.board.left(change.key)
    elif kind is ChangeKind.TAKEN and (slot := change.slot) is not None:
        if lead.board.taken(slot, state.now_ms):
            lead.bells.taken(slot.key, slot.model)
            _charge(lead, slot)
    elif kind is ChangeKind.FREED and (
        ended := lead.board.freed(change.key, state.now_ms)
    ):
        _settle(lead, ended)


def expect(state: BridgeState, admission: Admission) -> None:
    """List a request that is being admitted, before the ledger has said so.

    Else it would wait for the answer and for the change log. Where it is not admitted
    after all, what is listed is void.
    """
    lead, facts = state.lead, admission.facts
    if not state.leading or admission.reply or facts.agent_id in state.blocked:
        return
    if lead.synced_ms < 0 or lead.board.knows(facts.key):
        return
    lead.expected[facts.key] = None
    entry = ReadyEntry(facts, payload_hash=admission.payload_hash)
    lead.board.ready(entry, state.now_ms)


def on_admitted(state: BridgeState, key: str, answer: Admitted) -> None:
    """Forget what was expected and did not come."""
    lead = state.lead
    if key not in lead.expected:
        return
    del lead.expected[key]
    if answer.outcome is not AdmitOutcome.NEW or answer.state is not State.READY:
        lead.board.left(key)


def plan(state: BridgeState) -> list[Command]:
    """Write the lists that have changed; once in a round."""
    lead = state.lead
    if not _may_plan(state):
        return []
    lead.board.wake(state.now_ms)
    if not (lead.board.has_news or lead.asks or lead.lists.is_behind):
        return []
    lists = lead.lists.changed(lead.board, _supply(state), state.now_ms)
    asks, lead.asks = lead.asks or lead.lists.somebody_parked, False
    if not lists and not (asks and lead.lists):
        return []  # whoever is parked: nothing is there for him
    state.plans += 1
    seen = max(lead.cursor, state.last_change, key=log_position)
    return [PlanStarts(Plan("", state.plans, state.revision, seen, tuple(lists)))]


def has_more(state: BridgeState) -> bool:
    """Return whether the last plan was cut, and may go on now."""
    return state.lead.lists.was_cut and _may_plan(state)


def on_planned(state: BridgeState, event: Planned) -> list[Command]:
    """Ring for who is parked; begin anew where the plan was refused."""
    if not state.leading:
        return []
    answer, lead = event.answer, state.lead
    match answer.outcome if answer else None:
        case PlanOutcome.PLANNED if answer is not None:
            lead.bells.park(answer.parked)
            return _ring(state)
        case PlanOutcome.NOT_DISPATCHER:
            state.leading = False
            return []
        case PlanOutcome.GONE:
            lead.lists.forget(lead.board)  # nothing of it was written
            return [BeatEpoch(state.pulse, event.command.plan.seen)]
        case PlanOutcome.OLD_REVISION:
            state.revision = UNREAD
            lead.lists.forget(lead.board)
            return [ReadOrders()]
    lead.lists.forget(lead.board)  # nobody knows what is listed
    return []


UNREAD = -1
"""Instead of a revision: it is another one, and was not read yet."""


def on_orders(state: BridgeState, event: OrdersSeen) -> None:
    """Look at every list again when orders are other ones; before they are noted."""
    if event.revision != state.revision:
        state.revision = event.revision  # all that is listed is void
        state.lead.lists.forget(state.lead.board)
        changed(state)
    elif event.controls != state.controls:
        changed(state)


def _may_plan(state: BridgeState) -> bool:
    if not state.leading or state.draining or state.lead.synced_ms < 0:
        return False
    if state.controls is None or state.revision == UNREAD:
        return False
    return state.now_ms >= state.hold_until_ms


def _supply(state: BridgeState) -> Supply:
    if state.lead.supply is None:
        capacity = {
            (model, endpoint): requests
            for (model, endpoint), requests in state.rules.capacity().items()
            if operator_orders.starts(state, model)
        }
        limits = state.rules.settings.limits
        state.lead.supply = Supply(capacity, state.live_slots, limits.max_in_flight)
    return state.lead.supply


def _ring(state: BridgeState) -> list[Command]:
    lead = state.lead
    bells = [
        Doorbell.of(entry.facts, member.turn + 1, state.epoch, model)
        for member, model in lead.bells.choose(
            lead.board, _supply(state), lead.lists, state.now_ms
        )
        if (entry := lead.board.entry(member.key)) is not None
    ]
    again = tuple(sorted(lead.bells.again.items()))
    return [Ring(tuple(bells), again)] if bells else []


def _charge(lead: Lead, slot: Slot) -> None:
    _floors(lead, slot.model).charge(slot.key, slot.cls)


def _settle(lead: Lead, ended: Ended) -> None:
    slot = ended.slot
    _floors(lead, slot.model).settle(slot.key, slot.cls, ended.took_ms)


def _floors(lead: Lead, model: str) -> ClassFloors:
    floors = lead.floors.get(model)
    if floors is None:
        floors = lead.floors[model] = ClassFloors()
    return floors
