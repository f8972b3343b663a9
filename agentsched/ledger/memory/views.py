"""What the views of the ledger in memory read; nothing here locks."""

from collections.abc import Mapping

from agentsched.ledger.memory.book import Book
from agentsched.ledger.values import State
from agentsched.ledger.views import Description, LiveWorker, Pool


def pools(book: Book) -> list[Pool]:
    """See `Views.pools`."""
    used = [(slot.model, slot.endpoint) for slot in book.slots()]
    return [
        Pool(*place, used.count(place), capacity)
        for place, capacity in sorted(book.limits.capacity.items())
    ]


def workers(
    beating: Mapping[str, tuple[int, dict[str, int], str]], now_ms: int
) -> list[LiveWorker]:
    """See `Views.workers`."""
    return [
        LiveWorker(worker_id, dict(slots), http)
        for worker_id, (ends_ms, slots, http) in sorted(beating.items())
        if ends_ms > now_ms
    ]


def describe(book: Book, key: str) -> Description | None:
    """See `Views.describe`."""
    entry = book.find(key)
    if entry is None:
        return None
    now_ms = book.clock_ms()
    since_ms = now_ms - entry.since_ms
    if entry.state is State.ANSWERED:
        return Description(entry.state, since_ms, reply_at=entry.reply_at)
    running, rung = entry.state is State.RUNNING, entry.state is State.RUNG
    ready = entry.state is State.READY
    return Description(
        entry.state,
        since_ms,
        facts=entry.facts,
        model=entry.model if running or rung else "",
        endpoint=entry.endpoint if running or rung else "",
        attempts=entry.starts,
        crashes=entry.crashes,
        lease_left_ms=entry.lease_end_ms - now_ms if running else 0,
        not_before_ms=max(0, entry.not_before_ms - now_ms) if ready else 0,
        deadline_left_ms=entry.facts.deadline_ms - now_ms,
        ending=entry.ending,
    )
