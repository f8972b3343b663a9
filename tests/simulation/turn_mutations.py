"""`plan` and `turn` with one of their checks taken out (design, section 9).

Each is a subclass of the ledger in memory that has the check succeed: it gives the step
what the check asks for, does the step, and puts back what it changed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from agentsched.ledger.memory.ledger import MemoryLedger
from agentsched.ledger.turns import Plan, Planned, Turn, TurnAnswer


class _Around(MemoryLedger):
    """Changes the data for the time of a `turn`."""

    def turn(self, epoch: str, turn: Turn) -> TurnAnswer:
        self.server.insist_on(epoch)
        with self._without(turn):
            return super().turn(epoch, turn)

    @contextmanager
    def _without(self, turn: Turn) -> Iterator[None]:
        raise NotImplementedError


class AsksNoHash(_Around):
    """A list starts what was admitted since with other content."""

    @contextmanager
    def _without(self, turn: Turn) -> Iterator[None]:
        del turn
        for listed in self._book.lists.pools.values():
            for at, member in enumerate(listed.members):
                if entry := self._book.find(member.key):
                    now = entry.payload_hash
                    listed.members[at] = replace(member, payload_hash=now)
        yield


class AsksNoTurn(_Around):
    """A list starts what was taken and put back since."""

    @contextmanager
    def _without(self, turn: Turn) -> Iterator[None]:
        del turn
        for listed in self._book.lists.pools.values():
            for at, member in enumerate(listed.members):
                if entry := self._book.find(member.key):
                    listed.members[at] = replace(member, turn=entry.turn)
        yield


class AsksNoHeartbeat(_Around):
    """A worker that has left, or is dead, starts something."""

    @contextmanager
    def _without(self, turn: Turn) -> Iterator[None]:
        before = self.server.is_live
        self.server.is_live = lambda one: one == turn.worker_id or before(one)  # type: ignore[method-assign]
        try:
            yield
        finally:
            del self.server.is_live


class AsksNoWriter(_Around):
    """The lists of one who does not lead any more count."""

    @contextmanager
    def _without(self, turn: Turn) -> Iterator[None]:
        del turn
        self.server.leads = lambda _: True  # type: ignore[method-assign]
        try:
            yield
        finally:
            del self.server.leads


class AsksNoRevision(_Around):
    """Lists for old limits and orders count."""

    @contextmanager
    def _without(self, turn: Turn) -> Iterator[None]:
        del turn
        for listed in self._book.lists.pools.values():
            listed.revision = self.server.data.revision
        yield


class AsksNoCapacity(_Around):
    """A turn starts as much as there are slots in the worker."""

    @contextmanager
    def _without(self, turn: Turn) -> Iterator[None]:
        del turn
        limits = self._book.limits
        many = dict.fromkeys(limits.capacity, 1_000)
        self._book.limits = replace(limits, capacity=many, max_in_flight=0)
        try:
            yield
        finally:
            self._book.limits = limits


class AsksNoSeen(_Around):
    """What a lost answer told of stays taken."""

    def turn(self, epoch: str, turn: Turn) -> TurnAnswer:
        return MemoryLedger.turn(self, epoch, replace(turn, seen=turn.number))


class KeepsNoRecord(_Around):
    """The same turn again takes again."""

    @contextmanager
    def _without(self, turn: Turn) -> Iterator[None]:
        last = self._book.lists.turns.get(turn.worker_id)
        if last and last.number == turn.number:
            del self._book.lists.turns[turn.worker_id]
        yield


class TakesLate(_Around):
    """A turn that was overtaken by the next one takes all the same."""

    @contextmanager
    def _without(self, turn: Turn) -> Iterator[None]:
        last = self._book.lists.turns.get(turn.worker_id)
        if last and last.number > turn.number:
            del self._book.lists.turns[turn.worker_id]
            yield
            self._book.lists.turns[turn.worker_id] = last
        else:
            yield


class _AroundEntries(_Around):
    """Changes all entries for the time of a turn."""

    field = ""
    value: Any = None

    @contextmanager
    def _without(self, turn: Turn) -> Iterator[None]:
        del turn
        entries = list(self._book._entries.values())
        before = [getattr(entry, self.field) for entry in entries]
        for entry in entries:
            setattr(entry, self.field, self.value)
        yield
        for entry, value in zip(entries, before, strict=True):
            setattr(entry, self.field, value)


class AsksNoEnding(_AroundEntries):
    """What is cancelled starts."""

    field = "ending"


class AsksNoTime(_AroundEntries):
    """What was put back for a while starts at once."""

    field, value = "not_before_ms", 0


class AsksNoDeadline(_Around):
    """What is overdue starts."""

    @contextmanager
    def _without(self, turn: Turn) -> Iterator[None]:
        del turn
        entries = list(self._book._entries.values())
        before = [entry.facts for entry in entries]
        for entry in entries:
            later = self.server.clock_ms() + 60_000
            entry.facts = replace(entry.facts, deadline_ms=later)
        yield
        for entry, facts in zip(entries, before, strict=True):
            entry.facts = facts


class AsksNoChild(_Around):
    """Suspects start although no child is free."""

    def turn(self, epoch: str, turn: Turn) -> TurnAnswer:
        return MemoryLedger.turn(self, epoch, replace(turn, free_children=1_000))


class PlansForAnyRevision(MemoryLedger):
    """A plan that knows old limits and orders counts."""

    def plan(self, epoch: str, plan: Plan) -> Planned:
        return super().plan(epoch, replace(plan, revision=self.server.data.revision))


class PlansInAnyOrder(MemoryLedger):
    """An older plan replaces a newer one."""

    def plan(self, epoch: str, plan: Plan) -> Planned:
        self._book.lists.plans.pop(plan.dispatcher_id, None)
        return super().plan(epoch, plan)


class PlansForAnybody(MemoryLedger):
    """Who does not lead plans as well."""

    def plan(self, epoch: str, plan: Plan) -> Planned:
        self.server.leads = lambda _: True  # type: ignore[method-assign]
        try:
            return super().plan(epoch, plan)
        finally:
            del self.server.leads


MUTATIONS: dict[str, tuple[type[MemoryLedger], str]] = {
    "hash": (AsksNoHash, "a request starts as it is not listed"),
    "turn": (AsksNoTurn, "a request starts as it is not listed"),
    "live heartbeat": (AsksNoHeartbeat, "a worker that has left starts something"),
    "writer": (AsksNoWriter, "the list of one who does not lead is used"),
    "revision": (AsksNoRevision, "a list for old limits or orders is used"),
    "capacity": (AsksNoCapacity, "more starts than the capacity"),
    "seen": (AsksNoSeen, "a lease runs out that its worker does not know of"),
    "record of the turn": (KeepsNoRecord, "one lease is given twice"),
    "overtaken turns": (TakesLate, "a lease runs out that its worker does not know of"),
    "ending": (AsksNoEnding, "a cancelled request starts"),
    "not before": (AsksNoTime, "a request starts too early"),
    "deadline": (AsksNoDeadline, "a request starts after its deadline"),
    "child": (AsksNoChild, "more suspects than children"),
    "revision of a plan": (PlansForAnyRevision, "a plan for old limits or orders"),
    "number of a plan": (PlansInAnyOrder, "an older plan after a newer one"),
    "dispatcher of a plan": (PlansForAnybody, "a plan of one who does not lead"),
}
"""name -> the ledger without the check, and what a history shows then."""
