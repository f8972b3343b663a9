"""Views of the ledger in memory: what operators may look at; nothing is changed."""

from typing_extensions import override

from agentsched.ledger.memory.book import Book
from agentsched.ledger.memory.server import MemoryServer
from agentsched.ledger.values import State
from agentsched.ledger.views import Description, LiveWorker, Pool, Views


class MemoryViews(Views):
    """`agentsched.ledger.views.Views`, in one process."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server

    @override
    def epoch(self) -> str | None:
        return self._server.data.pulse.epoch or None

    @override
    def pools(self, epoch: str) -> list[Pool]:
        with self._server.step(epoch) as book:
            used = [(slot.model, slot.endpoint) for slot in book.slots()]
            return [
                Pool(*place, used.count(place), capacity)
                for place, capacity in sorted(book.limits.capacity.items())
            ]

    @override
    def workers(self) -> list[LiveWorker]:
        with self._server.lock:
            now_ms = self._server.clock_ms()
            return [
                LiveWorker(worker_id, dict(slots), http)
                for worker_id, one in sorted(self._server.data.workers.items())
                for ends_ms, slots, http in [one]
                if ends_ms > now_ms
            ]

    @override
    def describe(self, epoch: str, key: str) -> Description | None:
        with self._server.step(epoch) as book:
            return _described(book, key)


def _described(book: Book, key: str) -> Description | None:
    entry = book.find(key)
    if entry is None:
        return None
    now_ms = book.clock_ms()
    since_ms = now_ms - entry.since_ms
    if entry.state is State.ANSWERED:
        return Description(entry.state, since_ms, reply_at=entry.reply_at)
    running = entry.state is State.RUNNING
    ready = entry.state is State.READY
    return Description(
        entry.state,
        since_ms,
        facts=entry.facts,
        model=entry.model if running else "",
        endpoint=entry.endpoint if running else "",
        attempts=entry.starts,
        crashes=entry.crashes,
        lease_left_ms=entry.lease_end_ms - now_ms if running else 0,
        not_before_ms=max(0, entry.not_before_ms - now_ms) if ready else 0,
        deadline_left_ms=entry.facts.deadline_ms - now_ms,
        ending=entry.ending,
    )
