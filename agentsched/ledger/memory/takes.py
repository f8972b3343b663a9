"""`plan` and `turn` in the ledger in memory; nothing here locks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agentsched.ledger.memory import endings, steps
from agentsched.ledger.memory.book import Book, Entry
from agentsched.ledger.memory.lists import LastTurn, Listed
from agentsched.ledger.memory.server import MemoryServer
from agentsched.ledger.turns import (
    MAX_LISTED,
    MAX_TURN_BYTES,
    SUSPECT_CRASHES,
    UNTOLD,
    HandBack,
    Member,
    Parked,
    Plan,
    Planned,
    PlanOutcome,
    Taken,
    Turn,
    TurnAnswer,
)
from agentsched.ledger.values import START_OF_LOG, PutBack


def plan(server: MemoryServer, plan: Plan) -> Planned:
    """Replace lists; see `Ledger.plan`."""
    book, who = server.data.book, plan.dispatcher_id
    revision = server.data.revision
    if not server.leads(who):
        return Planned(PlanOutcome.NOT_DISPATCHER, revision)
    if plan.seen not in ("", START_OF_LOG) and book.changes.forgot(plan.seen):
        return Planned(PlanOutcome.GONE, revision)
    if plan.revision != revision:
        return Planned(PlanOutcome.OLD_REVISION, revision)
    last = book.lists.plans.get(who, 0)
    if plan.number < last:
        return Planned(PlanOutcome.OLD_NUMBER, revision)
    if plan.number > last:
        book.lists.plans[who] = plan.number
        for one in plan.lists:
            listed = Listed(who, revision, list(one.members[:MAX_LISTED]))
            book.lists.pools[one.model, one.endpoint] = listed
    return Planned(PlanOutcome.PLANNED, revision, tuple(_parked(server)))


def _parked(server: MemoryServer) -> Iterator[Parked]:
    for worker_id, slots in sorted(server.data.parked.items()):
        if server.is_live(worker_id):
            _, models, _ = server.data.workers[worker_id]
            yield Parked(worker_id, slots, tuple(models))


def turn(server: MemoryServer, turn: Turn) -> TurnAnswer:
    """Do all steps of one worker process; see `Ledger.turn`."""
    book = server.data.book
    published = [
        endings.published(server, one.key, one.reply_at) for one in turn.published
    ]
    completed = [endings.complete(book, one) for one in turn.completions]
    put_back = [endings.put_back(book, one) for one in turn.hand_backs]
    taken = _take(server, turn)
    return TurnAnswer(
        tuple(published),
        tuple(completed),
        tuple(put_back),
        tuple(taken or ()),
        refused=taken is None,
        more=_is_full(taken or ()),
    )


def _is_full(taken: Iterable[Taken]) -> bool:
    return sum(len(one.payload) for one in taken) >= MAX_TURN_BYTES


def _take(server: MemoryServer, turn: Turn) -> list[Taken] | None:
    book = server.data.book
    last = book.lists.turns.get(turn.worker_id, LastTurn())
    if turn.number < last.number:
        return None
    if turn.number == last.number:
        return list(_still_running(book, last))
    if last.number > turn.seen:
        for key, lease_id in last.takes:
            endings.put_back(book, HandBack(key, lease_id, why=PutBack.UNSTARTED))
    if not server.is_live(turn.worker_id):
        if last.number:
            book.lists.turns[turn.worker_id] = LastTurn(turn.number)
        return None
    book.sweep()
    taken = _Taking(server, turn).all()
    takes = tuple((one.key, one.lease_id) for one in taken)
    book.lists.turns[turn.worker_id] = LastTurn(turn.number, takes)
    if turn.free_slots != UNTOLD:
        server.park(turn.worker_id, turn.free_slots - len(taken))
    return taken


def _still_running(book: Book, last: LastTurn) -> Iterator[Taken]:
    for key, lease_id in last.takes:
        if entry := steps.running_under(book, key, lease_id):
            yield steps.taken(entry, book.clock_ms())


@dataclass(slots=True)
class _Pool:
    """One list, while a turn walks along it."""

    model: str
    endpoint: str
    listed: Listed
    kept: list[Member] = field(default_factory=list)
    """What cannot start in this turn, and may in the next."""


class _Taking:
    """The takes of one turn."""

    def __init__(self, server: MemoryServer, turn: Turn) -> None:
        self._book = server.data.book
        self._turn = turn
        self._free_children = turn.free_children
        self._pools = [
            _Pool(*place, listed)
            for place, listed in sorted(self._book.lists.pools.items(), key=self._rank)
            if place[0] in turn.models
            and server.leads(listed.dispatcher_id)
            and listed.revision == server.data.revision
        ]

    def _rank(self, item: tuple[tuple[str, str], Listed]) -> tuple[int, str]:
        (model, endpoint), _ = item
        models = self._turn.models
        return (models.index(model) if model in models else len(models), endpoint)

    def all(self) -> list[Taken]:
        """Start what may start, one request for each lease id."""
        taken: list[Taken] = []
        for lease_id in self._turn.lease_ids:
            found = None if _is_full(taken) else self._next()
            if found is None:
                break
            pool, entry = found
            ends_ms = self._book.clock_ms() + self._turn.lease_ms
            steps.take(self._book, entry, pool.model, pool.endpoint, lease_id, ends_ms)
            taken.append(steps.taken(entry, self._book.clock_ms()))
        for pool in self._pools:
            pool.listed.members[:0] = pool.kept
        return taken

    def _next(self) -> tuple[_Pool, Entry] | None:
        while pool := self._first():
            member = pool.listed.members.pop(0)
            entry = self._book.find(member.key)
            if entry is None or not steps.may_start(self._book, entry, member):
                continue
            if entry.not_before_ms > self._book.clock_ms():
                pool.kept.append(member)
                continue
            if entry.crashes >= SUSPECT_CRASHES:
                if not self._free_children:
                    pool.kept.append(member)
                    continue
                self._free_children -= 1
            return pool, entry
        return None

    def _first(self) -> _Pool | None:
        open_ = (
            pool
            for pool in self._pools
            if pool.listed.members
            and self._book.slots_over(pool.model, pool.endpoint) < 0
        )
        return min(open_, key=lambda pool: pool.listed.members[0].order, default=None)
