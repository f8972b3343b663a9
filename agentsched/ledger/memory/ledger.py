"""The ledger in one process's memory: for unit tests and for simulations.

Given the same clock and the same calls it does the same; nothing in it is random.
It passes the contract tests of the ledger on Redis.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from typing_extensions import override

from agentsched.errors import EpochChanged
from agentsched.ledger.memory import endings, steps, takes
from agentsched.ledger.memory.book import Book, Sums
from agentsched.ledger.memory.membership import MemoryMembership
from agentsched.ledger.memory.operator_orders import MemoryOperations
from agentsched.ledger.memory.server import MemoryServer
from agentsched.ledger.memory.views import MemoryViews
from agentsched.ledger.memory.voided_leases import MemoryVoidedLeases
from agentsched.ledger.protocol import Ledger, always
from agentsched.ledger.turns import (
    Completion,
    HandBack,
    Plan,
    Planned,
    Turn,
    TurnAnswer,
)
from agentsched.ledger.values import (
    START_OF_LOG,
    Admission,
    Admitted,
    CallOutcome,
    Change,
    EntryView,
    Limits,
    ModelTotals,
    PartitionView,
    PutBack,
    Snapshot,
    State,
    StoredReply,
)
from agentsched.wire.records import RecordAt


class MemoryLedger(Ledger):
    """`Ledger` in memory; beside it, on the same data, what else meets there.

    Args:
        clock_ms: the time in milliseconds; it never goes back.

    Attributes:
        server: the data; it can be lost, and put back.
        membership: epoch, dispatcher lease, heartbeats.
        operations: orders, reports and questions.
        views: what operators may look at.
    """

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self.server = MemoryServer(clock_ms)
        self.membership = MemoryMembership(self.server)
        self.operations = MemoryOperations(self.server)
        self.views = MemoryViews(self.server)

    @property
    def _book(self) -> Book:
        return self.server.data.book

    @override
    def admit(self, epoch: str, admissions: Sequence[Admission]) -> list[Admitted]:
        answers = []
        for admission in admissions:
            facts = admission.facts
            with self.server.step(epoch) as book:
                done = self.server.data.offsets.is_done(facts.source, facts.offset)
                answers.append(steps.admit(book, admission, done=done))
        return answers

    @override
    def withdraw(self, epoch: str, keys: Sequence[str]) -> list[bool]:
        gone = []
        for key in keys:
            with self.server.step(epoch) as book:
                entry = book.find(key)
                if entry and steps.may_be_withdrawn(entry):
                    steps.stop_work(book, entry)
                    book.forget(entry)
                    entry = None
                gone.append(entry is None)
        return gone

    @override
    def expire(self, epoch: str, key: str) -> bool:
        with self.server.step(epoch) as book:
            entry = book.find(key)
            if entry is None or entry.state is not State.RUNNING:
                return False
            if entry.lease_end_ms > self.server.clock_ms():
                return False
            entry.crashes += 1
            book.to_ready(entry)
            return True

    @override
    def plan(self, epoch: str, plan: Plan) -> Planned:
        with self.server.step(epoch):
            return takes.plan(self.server, plan)

    @override
    def turn(self, epoch: str, turn: Turn) -> TurnAnswer:
        with self.server.step(epoch) as book, book.changes.together():
            return takes.turn(self.server, turn)

    @override
    def renew(
        self, epoch: str, leases: Mapping[str, str], lease_ms: int
    ) -> dict[str, bool]:
        with self.server.step(epoch) as book:
            book.sweep()
            now_ms = self.server.clock_ms()
            renewed = {}
            for key, lease_id in leases.items():
                entry = steps.running_under(book, key, lease_id)
                renewed[key] = entry is not None and entry.lease_end_ms > now_ms
                if entry and renewed[key]:
                    entry.lease_end_ms = now_ms + lease_ms
                    book.held[key].ends_ms = entry.lease_end_ms
            return renewed

    @override
    def put_back(
        self,
        epoch: str,
        key: str,
        lease_id: str,
        delay_ms: int = 0,
        why: PutBack = PutBack.STOPPED,
        crashes_most: int = 0,
    ) -> bool:
        with self.server.step(epoch) as book:
            back = HandBack(key, lease_id, delay_ms, why, crashes_most)
            return endings.put_back(book, back)

    @override
    def complete(
        self,
        epoch: str,
        key: str,
        lease_id: str | None,
        reply: bytes,
        outcome: CallOutcome,
    ) -> bool:
        with self.server.step(epoch) as book:
            if lease_id is None:
                return endings.answer(self.server, key, reply, outcome)
            return endings.complete(book, Completion(key, lease_id, reply, outcome))

    @override
    def cancel(self, epoch: str, key: str, keep_s: int) -> State | None:
        with self.server.step(epoch) as book:
            return steps.cancel(book, key, keep_s)

    def voided(self) -> MemoryVoidedLeases:
        """Return what tells which leases are voided."""
        return self.server.voided

    @override
    def reply(self, epoch: str, key: str) -> StoredReply | None:
        with self.server.step(epoch) as book:
            entry = book.find(key)
            if entry is None or entry.state is not State.DONE:
                return None
            return StoredReply(entry.facts, entry.reply, entry.payload_hash)

    @override
    def published(self, epoch: str, key: str, reply_at: RecordAt) -> bool:
        with self.server.step(epoch):
            return endings.published(self.server, key, reply_at)

    @override
    def settle(self, epoch: str, source: str, offset: int) -> None:
        with self.server.step(epoch):
            endings.mark_done(self.server, "", source, offset)

    @override
    def restore_done(self, epoch: str, source: str, runs: Iterable[range]) -> None:
        with self.server.step(epoch):
            for run in runs:
                self.server.data.offsets.mark_done(source, run)

    @override
    def partition(
        self, epoch: str, source: str, watermark: int, end: int
    ) -> PartitionView:
        with self.server.step(epoch) as book:
            return PartitionView(
                self.server.data.offsets.done(source, watermark, end),
                {
                    offset: key
                    for (where, offset), key in book.live.items()
                    if where == source and watermark <= offset < end
                },
                self.server.data.offsets.watermark(source),
            )

    @override
    def forget_answered(self, epoch: str, source: str, runs: Sequence[range]) -> None:
        with self.server.step(epoch) as book:
            for key in book.live_at(source, runs):
                if entry := book.find(key):
                    if entry.state in steps.OPEN:
                        endings.stop_work(self.server, entry)
                    book.forget(entry)

    @override
    def forget_done(self, epoch: str, source: str, watermark: int) -> None:
        with self.server.step(epoch):
            self.server.data.offsets.forget(source, watermark)

    @override
    def inspect(self, epoch: str, keys: Sequence[str]) -> list[EntryView | None]:
        with self.server.step(epoch) as book:
            now_ms = self.server.clock_ms()
            found = (book.find(key) for key in keys)
            return [steps.view(entry, now_ms) if entry else None for entry in found]

    @override
    def snapshot(self, epoch: str) -> Snapshot:
        with self.server.step(epoch) as book:
            book.sweep()
            ready, slots = tuple(book.ready()), tuple(book.slots())
            return Snapshot(book.changes.cursor, self.server.clock_ms(), ready, slots)

    @override
    def changes(
        self,
        epoch: str,
        cursor: str,
        block_ms: int,
        limit: int = 1000,
        detailed: Callable[[], bool] = always,
    ) -> tuple[str, list[Change]]:
        """It waits on the real clock, 0 waits not at all."""
        with self.server.lock:
            found = self._changes_after(epoch, cursor, limit)
            if not found and block_ms > 0:
                self.server.lock.wait_for(
                    lambda: self._changes_after(epoch, cursor, 1), block_ms / 1000
                )
                found = self._changes_after(epoch, cursor, limit)
            if (
                found
                and cursor != START_OF_LOG
                and self.server.data.book.changes.forgot(cursor)
            ):
                raise EpochChanged("Redis was put back: what was read is gone")
        if not detailed():
            found = [replace(one, ready=None, slot=None) for one in found]
        return (found[-1].at if found else cursor), found

    def _changes_after(self, epoch: str, cursor: str, limit: int) -> list[Change]:
        if epoch != self.server.data.pulse.epoch:
            return []
        return self._book.changes.after(cursor, limit)

    @override
    def set_limits(self, epoch: str, limits: Limits) -> None:
        with self.server.step(epoch) as book:
            book.limits = limits
            self.server.raise_revision()

    @override
    def totals(self, epoch: str) -> dict[str, ModelTotals]:
        with self.server.step(epoch) as book:
            in_flight = [slot.model for slot in book.slots()]
            rows = {}
            for model, _endpoint in book.limits.capacity:
                sums = book.sums.get(model, Sums())
                rows[model] = ModelTotals(
                    in_flight.count(model), sums.calls, sums.failed, sums.model_ms
                )
            return rows
