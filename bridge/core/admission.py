"""Keeps the best of the index in the ready set: what to admit, what to withdraw."""

from dataclasses import dataclass, field

from agentsched.ledger.values import AdmitOutcome, Admitted, State
from agentsched.scheduling.order import CLASSES
from agentsched.scheduling.ready_set import Moves, decide, quota
from agentsched.wire.conflicts import conflict_record
from bridge.core import cancel, dispatcher, index, intake
from bridge.core.commands import (
    Admit,
    Command,
    PublishRefusal,
    SendRepeat,
    SendStored,
    Withdraw,
)
from bridge.core.events import AdmitAnswered, WithdrawAnswered
from bridge.core.state import BridgeState, Indexed, Models, Stage

BATCH = 200
"""Admissions and withdrawals in one command: one round trip, a few milliseconds."""
BATCH_BYTES = 4_194_304
"""Payloads in one command, so that a batch of large ones stays far from time-outs."""
FULL_RETRY_MS = 200
"""How long an admission waits that found the shared ready set full."""


def plan(state: BridgeState) -> list[Command]:
    """Decide what moves between index and ready set now; once in a round.

    Only groups in which something moved since are looked at.
    """
    if state.draining:
        state.unsettled.clear()
        return []
    batch = _Batch()
    groups, state.unsettled = state.unsettled, {}
    _take_refused(state, batch)
    most = max(1, BATCH // max(1, len(groups)))  # of each: no group waits for another
    withdraw: list[Indexed] = []
    for models in groups:
        if models == intake.NO_MODELS or models not in state.groups:
            continue
        moves = _moves(state, models)
        if moves.admit:
            _take_best(state, models, moves, batch, most)
        if moves.withdraw:
            withdraw += _take_worst(state, models, moves, BATCH - len(withdraw))
    if batch.blocked is not None:
        withdraw += _make_room(state, batch.blocked)
    commands: list[Command] = []
    if withdraw:
        commands.append(Withdraw(tuple(entry.key for entry in withdraw)))
    if batch.entries:
        admissions = tuple(entry.admission for entry in batch.entries)
        for admission in admissions:
            dispatcher.expect(state, admission)
        commands.append(Admit(admissions))
    return commands


def try_again(state: BridgeState) -> None:
    """Look again at what was kept out for a while."""
    state.ready_is_full = False
    let_in(state)
    if state.shares_moved:
        state.shares_moved = False
        if state.held >= quota(_share(state), len(state.groups), 0.0):
            look_at_all(state)


def let_in(state: BridgeState) -> None:
    """Look again at what waited for its partition."""
    if state.kept_out:
        state.unsettled |= state.kept_out
        state.kept_out = {}


def look_at_all(state: BridgeState) -> None:
    """The shares are other ones: look at every group."""
    state.unsettled |= dict.fromkeys(state.groups)


def withdraw_all(state: BridgeState) -> list[Command]:
    """Take what is READY out of the ready set: this bridge stops, and leaves nothing."""
    ready = [entry for entry in state.all_admitted() if entry.may_leave]
    for entry in ready:
        index.move(state, entry, Stage.LEAVING)
    keys = [entry.key for entry in ready]
    return [Withdraw(tuple(keys[at : at + BATCH])) for at in range(0, len(keys), BATCH)]


def on_admitted(state: BridgeState, event: AdmitAnswered) -> list[Command]:
    """Note what the ledger said of admissions."""
    commands: list[Command] = []
    for (source, offset), answer in zip(event.places, event.answers, strict=True):
        entry = index.find(state, source, offset)
        if entry is not None and entry.stage is Stage.ADMITTING:
            dispatcher.on_admitted(state, entry.key, answer)
            commands += _on_answer(state, entry, answer)
    return commands


def on_withdrawn(state: BridgeState, event: WithdrawAnswered) -> list[Command]:
    """Return withdrawn requests to the index."""
    for key, gone in zip(event.keys, event.gone, strict=True):
        for entry in index.with_key(state, key):
            if entry.stage is Stage.LEAVING:
                entry.stays = not gone
                index.move(state, entry, Stage.WAITING if gone else Stage.IN_FLIGHT)
    return []


def _on_answer(state: BridgeState, entry: Indexed, answer: Admitted) -> list[Command]:
    source, offset = entry.source, entry.offset
    entry.repeats = answer.outcome is AdmitOutcome.STORED
    match answer.outcome:
        case AdmitOutcome.FULL:
            state.ready_is_full = True
            entry.retry_ms = state.now_ms + FULL_RETRY_MS
            index.move(state, entry, Stage.WAITING)
        case AdmitOutcome.CANCELLED:
            index.move(state, entry, Stage.WAITING)
            return cancel.end_cancelled(state, [entry])
        case AdmitOutcome.CONFLICT:
            index.move(state, entry, Stage.REPEATING)
            dead_letter = intake.conflict(entry.record, source)
            conflict = conflict_record(entry.facts, entry.payload_hash.hex())
            return [PublishRefusal(dead_letter, source, offset, conflict)]
        case AdmitOutcome.REPEATED:
            index.move(state, entry, Stage.REPEATING)
            expired = intake.expired_reply(entry.admission)
            if answer.reply_at is None:  # nobody knows any more where it is
                return [PublishRefusal(expired, source, offset)]
            payload_hash = entry.payload_hash.hex()
            return [SendRepeat(answer.reply_at, entry.facts, expired, payload_hash)]
        case _ if answer.state is State.ANSWERED:
            index.settle(state, source, offset)
        case AdmitOutcome.NEW if answer.state is State.DONE:
            index.move(state, entry, Stage.IN_FLIGHT)
            return [SendStored(entry.key)]
        case _:
            ready = answer.state is State.READY
            index.move(state, entry, Stage.READY if ready else Stage.IN_FLIGHT)
    return []


def _share(state: BridgeState) -> int:
    """Return this bridge's share of the ready set, in entries."""
    return state.rules.ready_max_entries // max(1, state.bridges)


def _share_bytes(state: BridgeState) -> int:
    """Return this bridge's share of the ready set, in bytes of payload."""
    limits = state.rules.settings.limits
    return limits.ready_max_bytes // max(1, state.bridges)


def _quota(state: BridgeState, models: Models) -> int:
    groups = len(state.groups) - (intake.NO_MODELS in state.groups)
    weight_ratio = state.weight_of(models) / max(1, state.weight)
    return quota(_share(state), groups, weight_ratio)


def _fits(state: BridgeState, entry: Indexed) -> bool:
    """Return whether the share has room in bytes; alone, everything fits."""
    after = state.held_bytes + entry.size_bytes
    return after <= _share_bytes(state) or not state.held_bytes


def _make_room(state: BridgeState, blocked: Indexed) -> list[Indexed]:
    """Withdraw less urgent requests for one that the share in bytes keeps out.

    Only of a less urgent class: else two requests of one class would take turns.
    """
    excess = state.held_bytes + blocked.size_bytes - _share_bytes(state)
    excess -= state.leaving_bytes
    taken: list[Indexed] = []
    for cls in reversed(CLASSES[CLASSES.index(blocked.traits.cls) + 1 :]):
        queues = [by_class[cls] for by_class in state.worst.values() if cls in by_class]
        while excess > 0 and len(taken) < BATCH:
            worst = [entry for queue in queues if (entry := queue.worst())]
            entry = max(worst, key=lambda one: one.rank, default=None)
            if entry is None:
                break
            excess -= entry.size_bytes
            index.move(state, entry, Stage.LEAVING)
            taken.append(entry)
    return taken


def _moves(state: BridgeState, models: Models) -> Moves:
    waiting = state.waiting.get(models, {})
    admitted = state.admitted.get(models, {})
    started = state.started.get(models, {})
    leaving = state.leaving.get(models, {})
    return decide(
        {cls: len(queue) for cls, queue in waiting.items()},
        {cls: len(each) - len(started.get(cls, ())) for cls, each in admitted.items()},
        {cls: len(entries) for cls, entries in leaving.items()},
        _quota(state, models),
    )


@dataclass(slots=True)
class _Batch:
    """What goes into one Admit."""

    entries: list[Indexed] = field(default_factory=list)
    size_bytes: int = 0
    blocked: Indexed | None = None
    """The most urgent request that the share in bytes keeps out."""

    @property
    def full(self) -> bool:
        return len(self.entries) >= BATCH or self.size_bytes >= BATCH_BYTES

    @property
    def half_full(self) -> bool:
        return len(self.entries) >= BATCH // 2 or self.size_bytes >= BATCH_BYTES // 2

    def block(self, entry: Indexed) -> None:
        if self.blocked is None or entry.rank < self.blocked.rank:
            self.blocked = entry


def _take_best(
    state: BridgeState, models: Models, moves: Moves, batch: _Batch, most: int
) -> None:
    if state.ready_is_full:
        state.kept_out[models] = None
        return
    for cls in CLASSES:
        queue = state.waiting.get(models, {}).get(cls)
        for _ in range(moves.admit.get(cls, 0)):
            entry = queue.best() if queue else None
            if entry is None:
                break
            if batch.full or not most:
                state.unsettled[models] = None  # in the next round
                return
            if not _may_admit(state, entry):
                state.kept_out[models] = None
                break
            if not _fits(state, entry):
                batch.block(entry)
                state.wants_room[models] = None
                return
            index.move(state, entry, Stage.ADMITTING)
            batch.entries.append(entry)
            batch.size_bytes += entry.size_bytes
            most -= 1


def _take_refused(state: BridgeState, batch: _Batch) -> None:
    """Take what comes with its reply: it needs no room, so it waits for none.

    Half of the batch is for others.
    """
    for cls in CLASSES:
        queue = state.waiting.get(intake.NO_MODELS, {}).get(cls)
        while queue:
            entry = queue.best()
            if entry is None or not _may_admit(state, entry):
                break
            if batch.half_full:
                state.unsettled[intake.NO_MODELS] = None  # in the next round
                return
            index.move(state, entry, Stage.ADMITTING)
            batch.entries.append(entry)
            batch.size_bytes += entry.size_bytes


def _may_admit(state: BridgeState, entry: Indexed) -> bool:
    partition = state.partitions[entry.source]
    return partition.may_admit and entry.retry_ms <= state.now_ms


def _take_worst(
    state: BridgeState, models: Models, moves: Moves, most: int
) -> list[Indexed]:
    taken: list[Indexed] = []
    for cls in reversed(CLASSES):
        queue = state.worst.get(models, {}).get(cls)
        for _ in range(moves.withdraw.get(cls, 0)):
            entry = queue.worst() if queue else None
            if entry is None:
                break
            if len(taken) >= most:
                state.unsettled[models] = None  # in the next round
                return taken
            index.move(state, entry, Stage.LEAVING)
            taken.append(entry)
    return taken
