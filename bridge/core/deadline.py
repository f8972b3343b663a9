"""Ends requests without a call: what is overdue or cancelled, wherever it waits.

What the ledger knows is answered there; what is only in Kafka is admitted together with
its answer, so that its identity is checked like any other.
"""

from dataclasses import replace

from agentsched.ledger.values import Admission, Ending, EntryView, State
from agentsched.types import ReplyError
from agentsched.wire.terminal_errors import CANCELLED, OVERDUE, POISON
from bridge.core import index, intake
from bridge.core.commands import Admit, BuryPoison, Command, EndRequest, Inspect
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
        if entry is None or state.deadlines.rank_of(entry)[1] > now_ms:
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
    entries = state.by_key.get(key, [])
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
        partition = state.partitions[entry.admission.facts.source]
        if not partition.may_admit:
            continue  # it may be admitted, or answered: not known yet
        index.move(state, entry, Stage.ADMITTING)
        reply = intake.ended_reply(entry.admission, error)
        admissions.append(replace(entry.admission, reply=reply))
    return [Admit(tuple(admissions))] if admissions else []


def ending_of(view: EntryView) -> ReplyError | None:
    """Return why an entry of the ledger has to end now; None when it may go on."""
    if view.state not in OPEN:
        return None
    if view.ending is not None:
        return ERRORS[view.ending]
    patience_ms = WORKER_FIRST_MS if view.state is State.RUNNING else 0
    return OVERDUE if view.overdue_ms > patience_ms else None


def end_known(entry: Indexed, error: ReplyError, attempts: int) -> list[Command]:
    """Answer a request that the ledger knows; poison is put aside, too.

    Args:
        entry: the request.
        error: why it ends.
        attempts: how often a worker has started it.
    """
    facts = entry.admission.facts
    reply = intake.ended_reply(entry.admission, error, attempts)
    if error is POISON:
        return [BuryPoison(intake.poison(entry.record, facts.source), facts, reply)]
    return [EndRequest(facts, reply)]
