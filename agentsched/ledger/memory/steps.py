"""What the steps of the ledger in memory do to one entry; nothing here locks."""

from agentsched.ledger.memory.book import Book, Entry, Sums
from agentsched.ledger.turns import Member, Taken
from agentsched.ledger.values import (
    Admission,
    AdmitOutcome,
    Admitted,
    CallOutcome,
    Change,
    ChangeKind,
    Ending,
    EntryView,
    PutBack,
    State,
)
from agentsched.wire.codec import hash_value

OPEN = (State.READY, State.RUNNING)
"""The states before a reply is stored."""


def admit(book: Book, admission: Admission, *, done: bool) -> Admitted:
    """Admit one request; `done`: its offset is settled already."""
    facts = admission.facts
    entry = book.find(facts.key)
    if entry is None:
        return _admit_new(book, admission)
    answered = entry.state is State.ANSWERED
    if (facts.source, facts.offset) in entry.offsets or (answered and done):
        return Admitted(AdmitOutcome.SAME, entry.state)
    if admission.payload_hash != entry.payload_hash:
        return Admitted(AdmitOutcome.CONFLICT)
    if answered:
        return Admitted(AdmitOutcome.REPEATED, entry.state, entry.reply_at)
    if entry.state is State.DONE:
        return Admitted(AdmitOutcome.STORED, entry.state)
    book.attach(entry, facts.source, facts.offset)
    return Admitted(AdmitOutcome.ATTACHED, entry.state)


def _admit_new(book: Book, admission: Admission) -> Admitted:
    payload, reply = admission.payload, admission.reply
    if not reply and book.is_cancelled(admission.facts.key):
        return Admitted(AdmitOutcome.CANCELLED)
    if not reply and book.ready_count() >= book.limits.ready_max_entries:
        return Admitted(AdmitOutcome.FULL)
    entry = Entry(admission.facts, payload, admission.payload_hash, book.clock_ms())
    if not reply:
        book.add(entry)
        return Admitted(AdmitOutcome.NEW, State.READY)
    entry.state, entry.payload, entry.reply = State.DONE, b"", reply
    entry.winner = winner_of(None, reply)
    book.drop_cancel(entry.facts.key)
    book.enter(entry)
    return Admitted(AdmitOutcome.NEW, State.DONE)


def winner_of(lease_id: str | None, reply: bytes) -> tuple[str, str]:
    """Say whose reply it is, so that a repeated step is known for one."""
    return ("reply", hash_value(reply)) if lease_id is None else ("lease", lease_id)


def may_be_withdrawn(entry: Entry) -> bool:
    """Return whether an entry can be forgotten and lose nothing by it.

    One that was taken would come back with turn 0, which old lists may name, and with no
    crash on its record. Of one that was sent again, maybe to another bridge, somebody was
    told that one reply settles both.
    """
    untouched = entry.state is State.READY and not entry.ending and entry.turn == 0
    return untouched and len(entry.offsets) == 1


def may_start(book: Book, entry: Entry, member: Member) -> bool:
    """Return whether a listed request is still what its list says, and may run.

    It may be too early for it.
    """
    return (
        entry.state is State.READY
        and (entry.payload_hash, entry.turn) == (member.payload_hash, member.turn)
        and entry.ending is None
        and entry.facts.deadline_ms > book.clock_ms()
    )


def take(  # noqa: PLR0913  (a move of its own: what, where, under which lease)
    book: Book, entry: Entry, model: str, endpoint: str, lease_id: str, ends_ms: int
) -> None:
    """READY -> RUNNING: lease, start and slot."""
    entry.model, entry.endpoint = model, endpoint
    entry.lease_id, entry.lease_end_ms = lease_id, ends_ms
    entry.turn += 1
    entry.starts += 1
    book.move(entry, State.RUNNING)
    book.take_slot(entry)


def taken(entry: Entry, now_ms: int) -> Taken:
    """Say what a worker needs to run it."""
    return Taken(
        entry.facts.key,
        entry.lease_id or "",
        entry.facts,
        entry.payload,
        entry.payload_hash,
        entry.model,
        entry.endpoint,
        turn=entry.turn,
        attempt=entry.starts,
        time_left_ms=entry.facts.deadline_ms - now_ms,
        queued_ms=now_ms - entry.facts.arrival_ms,
        crashes=entry.crashes,
    )


def store_reply(
    book: Book, entry: Entry, reply: bytes, winner: tuple[str, str]
) -> None:
    """Move an open entry to DONE."""
    book.move(entry, State.DONE)
    entry.payload, entry.reply, entry.lease_id = b"", reply, None
    entry.winner = winner


def stop_work(book: Book, entry: Entry) -> None:
    """Let an open entry that has its answer not start."""
    if entry.state is State.READY:
        book.changes.emit(Change(ChangeKind.LEFT, key=entry.facts.key))


def count(book: Book, model: str, outcome: CallOutcome) -> None:
    """Add one call to the totals of a model."""
    if outcome.called and model:
        sums = book.sums.setdefault(model, Sums())
        sums.calls += 1
        sums.failed += not outcome.ok
        sums.model_ms += outcome.model_ms


def cancel(book: Book, key: str, keep_s: int) -> State | None:
    """Mark a request, known or not."""
    entry = book.find(key)
    if entry and entry.state not in OPEN:
        return entry.state
    if entry:
        book.mark_ending(entry, Ending.CANCELLED)
        return entry.state
    book.keep_cancel(key, keep_s)
    book.changes.emit(Change(ChangeKind.ENDING, key=key))
    return None


def put_back(
    book: Book, entry: Entry, delay_ms: int, why: PutBack, crashes_most: int
) -> None:
    """Give a RUNNING request back."""
    entry.put_back_by = entry.lease_id
    entry.starts -= why is PutBack.UNSTARTED
    book.to_ready(entry, book.clock_ms() + delay_ms if delay_ms > 0 else 0)
    if why is PutBack.CRASHED:
        entry.crashes_alone += 1
        if entry.crashes_alone >= crashes_most:
            book.mark_ending(entry, Ending.POISON)


def running_under(book: Book, key: str, lease_id: str) -> Entry | None:
    """Return the entry if it runs under this lease."""
    entry = book.find(key)
    ours = entry and entry.state is State.RUNNING and entry.lease_id == lease_id
    return entry if ours else None


def view(entry: Entry, now_ms: int) -> EntryView:
    """Say what the reconciler sees."""
    running = entry.state is State.RUNNING
    answered = entry.state is State.ANSWERED
    return EntryView(
        entry.state,
        now_ms - entry.since_ms,
        lease_left_ms=entry.lease_end_ms - now_ms if running else 0,
        model=entry.model if running else "",
        overdue_ms=0 if answered else now_ms - entry.facts.deadline_ms,
        ending=entry.ending,
        payload_hash=entry.payload_hash[:16],
        attempts=0 if answered else entry.starts,
        turn=entry.turn,
    )
