"""Ends requests without a call, wherever they wait, with a typed error as the reply.

Deadlines, cancels, poison and blocked agents all end here. What the ledger knows is
answered there; what is only in Kafka is admitted together with its answer, so that its
identity is checked like any other.
"""

from dataclasses import replace

from agentsched.ledger.values import Admission, Ending, EntryView, State
from agentsched.types import ReplyError
from agentsched.wire.terminal_errors import CANCELLED, OVERDUE, POISON
from bridge.core import index, intake, poison
from bridge.core.commands import Admit, Command, EndRequest
from bridge.core.state import BridgeState, Indexed, Stage

ERRORS = {Ending.CANCELLED: CANCELLED, Ending.POISON: POISON}
OPEN = (State.READY, State.RUNNING)
BATCH = 200
BATCH_BYTES = 4_194_304
"""Of payloads in one command, so that large ones stay far from time-outs."""
WORKER_FIRST_MS = 5_000
"""A worker ends its own call at the deadline; a bridge steps in so much later."""


def end_waiting(
    state: BridgeState, entries: list[Indexed], error: ReplyError
) -> list[Command]:
    """Admit requests that are only in Kafka, each with its answer."""
    commands: list[Command] = []
    admissions: list[Admission] = []
    size_bytes = 0
    for entry in entries:
        partition = state.partitions[entry.source]
        if not partition.may_admit:
            continue  # it may be admitted, or answered: not known yet
        index.move(state, entry, Stage.ADMITTING)
        admission = entry.admission
        reply = intake.ended_reply(admission, error)
        if len(admissions) >= BATCH or size_bytes >= BATCH_BYTES:
            commands.append(Admit(tuple(admissions)))
            admissions, size_bytes = [], 0
        admissions.append(replace(admission, reply=reply))
        size_bytes += entry.size_bytes
    return [*commands, Admit(tuple(admissions))] if admissions else []


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
    admission = entry.admission
    facts, reply = admission.facts, intake.ended_reply(admission, error, attempts)
    if error is POISON:
        return [poison.bury(entry, reply)]
    return [EndRequest(facts, reply)]
