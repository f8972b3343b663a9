"""Whatever happens to the lists in Redis: a free slot starts what may start.

A board with its lists, and a Redis that a test plays: it drops what is void, early or
overdue, keeps suspects for which there is no child process, loses a plan, and gets
another dispatcher; meanwhile the limit over all models comes and goes.
"""

from random import Random

import pytest

from agentsched.ledger.turns import SUSPECT_CRASHES
from agentsched.ledger.values import ReadyEntry, Slot, Snapshot
from agentsched.scheduling.board import Board
from agentsched.scheduling.lists import Lists
from agentsched.scheduling.supply import Supply
from tests.support.requests import facts

LIVE = {"a": 1, "b": 3, "c": 8, "none": 0}
STEPS = 120
FOREVER_MS = 10**9


class World:
    """The truth of the ledger, and a dispatcher that follows it."""

    def __init__(self, seed):
        self.random = Random(seed)
        self.now_ms = self.number = 0
        self.ready, self.slots, self.redis = {}, {}, {}
        self.has_children = True
        self.bound = 0
        self.lost = False
        """Whether Redis may have dropped what it was given, since the last snapshot."""
        self.lead()

    # -- the dispatcher -------------------------------------------------------------

    @property
    def supply(self):
        capacity = {(model, "e"): max(1, slots) for model, slots in LIVE.items()}
        return Supply(capacity, LIVE, self.bound)

    def lead(self):
        """Another dispatcher begins: what was listed is void."""
        self.board, self.lists, self.redis = Board(), Lists({}), {}
        self.resync()

    def resync(self):
        entries, slots = tuple(self.ready.values()), tuple(self.slots.values())
        snapshot = Snapshot("0-0", self.now_ms, entries, slots)
        self.board.reset(snapshot, self.now_ms)
        self.lists.forget(self.board)
        self.lost = False

    def round(self):
        self.board.wake(self.now_ms)
        for one in self.lists.changed(self.board, self.supply, self.now_ms):
            self.redis[one.model] = list(one.members)

    # -- the ledger -----------------------------------------------------------------

    def may_start(self, entry):
        return entry.not_before_ms <= self.now_ms < entry.facts.deadline_ms and (
            self.has_children or entry.crashes < SUSPECT_CRASHES
        )

    def has_slot(self, model):
        in_use = sum(slot.model == model for slot in self.slots.values())
        room = not self.bound or len(self.slots) < self.bound
        return room and in_use < LIVE[model]

    def take(self, model):
        """A slot goes along a list, as in a turn; returns whether it started one."""
        if not self.has_slot(model):
            return False
        listed, kept = self.redis.get(model, []), []
        started = None
        while listed and started is None:
            member = listed.pop(0)
            entry = self.ready.get(member.key)
            if entry is None or entry.turn != member.turn:
                continue
            if self.may_start(entry):
                started = entry
            elif entry.crashes >= SUSPECT_CRASHES:
                kept.append(member)
            else:
                self.lost |= entry.not_before_ms > self.now_ms
        listed[:0] = kept
        if started is None:
            return False
        key = started.facts.key
        del self.ready[key]
        self.slots[key] = Slot(key, model, "e", started.facts.cls)
        self.board.taken(self.slots[key], self.now_ms)
        self.turns[key] = started
        return True

    turns = property(lambda self: self.__dict__.setdefault("_turns", {}))

    # -- what happens -----------------------------------------------------------------

    def arrive(self):
        draw = self.random
        for _ in range(draw.choice([1, 1, 5, 40])):
            self.number += 1
            models = draw.sample(sorted(LIVE), draw.choice([1, 1, 2]))
            deadline_ms = draw.choice([FOREVER_MS, FOREVER_MS, self.now_ms + 700])
            entry = facts(
                f"k{self.number}",
                cls=draw.choice(["high", "medium", "low"]),
                models=tuple(models),
                arrival_ms=self.now_ms,
                deadline_ms=deadline_ms,
            )
            crashes = draw.choice([0, 0, 0, SUSPECT_CRASHES])
            self.put(ReadyEntry(entry, crashes=crashes))

    def put(self, entry):
        self.ready[entry.facts.key] = entry
        self.board.ready(entry, self.now_ms)

    def start(self):
        self.take(self.random.choice(sorted(LIVE)))

    def end(self):
        if self.slots:
            key = self.random.choice(sorted(self.slots))
            del self.slots[key]
            self.board.freed(key, self.now_ms)
            return key
        return None

    def put_back(self):
        if key := self.end():
            before = self.turns[key]
            early_ms = self.random.choice([0, 300])
            self.put(
                ReadyEntry(
                    before.facts,
                    not_before_ms=self.now_ms + early_ms,
                    turn=before.turn + 1,
                    crashes=before.crashes,
                )
            )

    def withdraw(self):
        for key in sorted(self.ready)[: self.random.choice([1, 9])]:
            del self.ready[key]
            self.board.left(key)

    def pass_time(self):
        self.now_ms += self.random.choice([50, 500, 30_000])

    def lose_the_plan(self):
        before = {model: list(members) for model, members in self.redis.items()}
        self.round()
        self.redis, self.lost = before, True

    def flip_the_bound(self):
        self.bound = self.random.choice([0, 0, 2, 6])
        self.board.touch()

    def flip_children(self):
        self.has_children = not self.has_children

    def happen(self):
        what = [self.arrive, self.start, self.start, self.end, self.put_back]
        what += [self.withdraw, self.pass_time, self.lose_the_plan, self.lead]
        what += [self.flip_the_bound, self.flip_children, self.resync]
        weights = [6, 9, 9, 6, 3, 1, 3, 1, 1, 2, 1, 1]
        self.random.choices(what, weights)[0]()

    # -- the rule -----------------------------------------------------------------------

    def startable(self):
        """What a free slot could start, by the ledger."""
        free = {model for model in LIVE if self.has_slot(model)}
        return [
            key
            for key, entry in self.ready.items()
            if self.may_start(entry) and free.intersection(entry.facts.models)
        ]

    def starts_something(self):
        self.round()
        return sum(self.take(model) for model in sorted(LIVE)) > 0


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_with_a_free_slot_and_something_that_may_start_something_starts(first):
    for seed in range(first, first + 20):
        world = World(seed)
        for _ in range(STEPS):
            world.happen()
            world.round()
            if world.random.random() < 0.2:
                _drain(world, seed)


def _drain(world, seed):
    """Start all that may start: each round, or each snapshot after a loss, starts some."""
    while waiting := world.startable():
        was_lost = world.lost
        if world.starts_something():
            continue
        assert was_lost or world.lost, (
            f"seed {seed}: {waiting[:3]} do not start, {world.bound=} {world.redis}"
        )
        world.resync()
        assert world.starts_something(), f"seed {seed}: {waiting} after a snapshot"
