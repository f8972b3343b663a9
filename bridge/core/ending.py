"""Ends requests without a call: what is overdue or cancelled, wherever it waits.

What the ledger knows is answered there; what is only in Kafka is admitted together with
its answer, so that its identity is checked like any other.
"""

from dataclasses import replace

from agentsched.endings import CANCELLED, OVERDUE, POISON
from agentsched.ledger.records import Admission, Ending, EntryView, State
from agentsched.types import ReplyError
from bridge.core import index, intake
from bridge.core.commands import Admit, Answer, Bury, Command, Inspect
from bridge.core.state import BridgeState, Indexed, Stage

RECHECK_MS = 1_000
"""When an overdue request is looked at again that is not answered yet."""
BATCH = 200
"""Overdue requests in one tick: one round trip each for what waits and what runs."""
WORKER_FIRST_MS = 5_000
"""A worker ends its own call at the deadline; a bridge steps in so much later."""
ERRORS = {Ending.CANCELLED: CANCELLED, Ending.POISON: POISON}
OPEN = (State.READY, State.RUNG, State.RUNNING)


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
        entry.checked_ms = state.now_ms
    keys = tuple(entry.key for entry in admitted)
    looks = [Inspect(keys)] if keys else []
    return [*looks, *end_waiting(state, waiting, OVERDUE)]


def on_marked(state: BridgeState, key: str) -> list[Command]:
    """A request has to end: answer it, if it is one of ours."""
    entries = index.with_key(state, key)
    waiting = [entry for entry in entries if entry.stage is Stage.WAITING]
    commands = end_waiting(state, waiting, CANCELLED)
    if any(entry.stage in (Stage.READY, Stage.IN_FLIGHT) for entry in entries):
        commands.append(Inspect((key,)))
    return commands


def end_waiting(
    state: BridgeState, entries: list[Indexed], error: ReplyError
) -> list[Command]:
    """Admit requests that are only in Kafka, each with its answer."""
    admissions: list[Admission] = []
    for entry in entries:
        partition = state.partitions[entry.source]
        if not partition.may_admit:
            continue  # it may be admitted, or answered: not known yet
        index.move(state, entry, Stage.ADMITTING)
        admission = entry.admission
        reply = intake.ended_reply(admission, error)
        admissions.append(replace(admission, reply=reply))
    return [Admit(tuple(admissions))] if admissions else []


def ending_of(view: EntryView) -> ReplyError | None:
    """Return why an entry of the ledger has to end now; None when it may go on."""
    if view.state not in OPEN:
        return None
    if view.ending is not None:
        return ERRORS[view.ending]
    patience_ms = WORKER_FIRST_MS if view.state is State.RUNNING else 0
    return OVERDUE if view.overdue_ms > patience_ms else None


def end_known(entry: Indexed, error: ReplyError) -> list[Command]:
    """Answer a request that the ledger knows; poison is put aside, too."""
    admission = entry.admission
    facts, reply = admission.facts, intake.ended_reply(admission, error)
    if error is POISON:
        return [Bury(intake.poison(entry.record, facts.source), facts, reply)]
    return [Answer(facts, reply)]
