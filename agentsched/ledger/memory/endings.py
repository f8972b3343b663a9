"""How a start ends in the ledger in memory: completed, put back, published.

What a bridge calls one by one and what a `turn` does many of are the same functions.
Nothing here locks.
"""

from agentsched.ledger.memory import steps
from agentsched.ledger.memory.book import Book, Entry
from agentsched.ledger.memory.server import MemoryServer
from agentsched.ledger.turns import Completion, HandBack
from agentsched.ledger.values import CallOutcome, Change, ChangeKind, State
from agentsched.wire.records import RecordAt


def complete(book: Book, done: Completion) -> bool:
    """Store the reply of a call, if its lease is current; see `Ledger.complete`."""
    entry = steps.running_under(book, done.key, done.lease_id)
    by = steps.winner_of(done.lease_id, done.reply)
    if entry:
        steps.count(book, entry.model, done.outcome)
        if not done.keeps_slot:
            book.free_slot(done.key)
        steps.store_reply(book, entry, done.reply, by)
        return True
    entry = book.find(done.key)
    if entry and entry.winner == by:
        return True
    slot = book.slot_held_by(done.key, done.lease_id)
    if slot:
        book.free_slot(done.key)
        steps.count(book, slot.model, done.outcome)
    return False


def answer(server: MemoryServer, key: str, reply: bytes, outcome: CallOutcome) -> bool:
    """Store a reply that no lease stands for; see `Ledger.complete`."""
    book, by = server.data.book, steps.winner_of(None, reply)
    entry = book.find(key)
    if entry is None or entry.state not in steps.OPEN:
        return entry is not None and entry.winner == by
    steps.count(book, entry.model, outcome)
    stop_work(server, entry)
    steps.store_reply(book, entry, reply, by)
    return True


def put_back(book: Book, back: HandBack) -> bool:
    """Give a RUNNING request back; see `Ledger.put_back`."""
    entry = steps.running_under(book, back.key, back.lease_id)
    if entry:
        steps.put_back(book, entry, back.delay_ms, back.why, back.crashes_most)
        return True
    entry = book.find(back.key)
    if entry and entry.put_back_by == back.lease_id:
        return True
    if book.slot_held_by(back.key, back.lease_id):
        book.free_slot(back.key)
    return False


def published(server: MemoryServer, key: str, reply_at: RecordAt) -> bool:
    """Kafka has the reply; see `Ledger.published`."""
    book = server.data.book
    entry = book.find(key)
    if entry is None:
        return False
    if entry.state in steps.OPEN:
        stop_work(server, entry)
    if entry.state is not State.ANSWERED:
        for source, offset in entry.offsets:
            book.live.pop((source, offset), None)
            mark_done(server, key, source, offset)
        book.move(entry, State.ANSWERED)
        entry.payload, entry.reply, entry.reply_at = b"", b"", reply_at
        entry.put_back_by = entry.lease_id = entry.ending = None
        entry.turn, entry.offsets = 0, entry.offsets[:1]
    return True


def stop_work(server: MemoryServer, entry: Entry) -> None:
    """Let an open entry that has its answer not start; its worker hears of it."""
    steps.stop_work(server.data.book, entry)
    if entry.state is State.RUNNING:
        server.voided.put(entry.lease_id or "")


def mark_done(server: MemoryServer, key: str, source: str, offset: int) -> None:
    """Note that an offset is answered, and tell it."""
    server.data.offsets.mark_done(source, [offset])
    change = Change(ChangeKind.SETTLED, key=key, source=source, offset=offset)
    server.data.book.changes.emit(change)
