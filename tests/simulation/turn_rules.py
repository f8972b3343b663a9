"""The rules of `plan` and `turn` (design, section 9), checked after each of them.

What is known of lists and numbers is known for an era: a time in which Redis lost nothing.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from agentsched.ledger.operator_orders import Controls
from agentsched.ledger.turns import (
    Plan,
    Planned,
    PlanOutcome,
    Taken,
    Turn,
    TurnAnswer,
)
from agentsched.ledger.values import State
from tests.simulation.redis import SimRedis
from tests.simulation.world import World

Pool = tuple[str, str]


@dataclass(frozen=True)
class Given:
    """What one lease id was given for."""

    key: str
    turn: int
    worker_id: str
    number: int


class TurnRules:
    """Watches plans and turns.

    Args:
        world: the clock.
        redis: the ledger; its parts are looked into.
        blame: takes each broken rule.
    """

    def __init__(
        self, world: World, redis: SimRedis, blame: Callable[..., None]
    ) -> None:
        self._world = world
        self._redis = redis
        self._blame = blame
        self._lists: dict[tuple[str, Pool], tuple[Plan, set[tuple[str, str, int]]]] = {}
        self._plans: dict[tuple[str, str], int] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._given: dict[str, Given] = {}
        self._of_worker: dict[str, list[str]] = defaultdict(list)
        self._left: set[str] = set()

    def left(self, worker_id: str) -> None:
        """A worker has said goodbye."""
        self._left.add(worker_id)

    def came(self, worker_id: str) -> None:
        """A worker has said that it lives."""
        self._left.discard(worker_id)

    def planned(self, era: str, plan: Plan, answer: Planned) -> None:
        """A plan has its answer."""
        if answer.outcome is not PlanOutcome.PLANNED:
            return
        server, who = self._redis.ledger.server, (era, plan.dispatcher_id)
        if not server.leads(plan.dispatcher_id):
            self._blame("a plan of one who does not lead")
        if plan.revision != server.data.revision:
            self._blame("a plan for old limits or orders")
        before = self._plans.get(who, 0)
        if plan.number < before:
            self._blame("an older plan after a newer one")
        if plan.number <= before:
            return
        self._plans[who] = plan.number
        for one in plan.lists:
            members = {(m.key, m.payload_hash, m.turn) for m in one.members}
            self._lists[era, (one.model, one.endpoint)] = plan, members

    def done(self, era: str, turn: Turn, answer: TurnAnswer) -> None:
        """A turn has its answer."""
        who = era, turn.worker_id
        last = self._numbers.get(who, 0)
        self._numbers[who] = max(last, turn.number)
        new = [one for one in answer.taken if one.lease_id not in self._given]
        for one in answer.taken:
            given = Given(one.key, one.turn, turn.worker_id, turn.number)
            if self._given.setdefault(one.lease_id, given) != given:
                self._blame("one lease is given twice", one.key[:8])
        for one in new:
            self._of_worker[turn.worker_id].append(one.lease_id)
            self._check_start(era, one)
        if new and turn.number < last:
            self._blame("an overtaken turn takes")
        if new and turn.worker_id in self._left:
            self._blame("a worker that has left starts something")
        if turn.number > last and not answer.refused:
            self._check_seen(turn)

    def _check_start(self, era: str, one: Taken) -> None:
        server = self._redis.ledger.server
        entry = self._redis.ledger._book.find(one.key)
        if entry and entry.facts.deadline_ms <= self._world.now_ms:
            self._blame("a request starts after its deadline", one.key[:8])
        if one.model not in one.facts.models:
            self._blame("a request starts on a model that may not answer it")
        if not Controls.of(server.data.controls.values()).starts(one.model):
            self._blame("a paused model starts something", one.model)
        plan, members = self._lists.get((era, (one.model, one.endpoint)), (None, set()))
        if plan is None:
            return  # Redis was put back, and its lists with it
        if not server.leads(plan.dispatcher_id):
            self._blame("the list of one who does not lead is used")
        if plan.revision != server.data.revision:
            self._blame("a list for old limits or orders is used")
        if (one.key, one.payload_hash, one.turn - 1) not in members:
            self._blame("a request starts as it is not listed", one.key[:8])

    def _check_seen(self, turn: Turn) -> None:
        """Nothing runs under a lease that its worker will never hear of."""
        book = self._redis.ledger._book
        for lease_id in self._of_worker[turn.worker_id]:
            given = self._given[lease_id]
            if not turn.seen < given.number < turn.number:
                continue
            entry = book.find(given.key)
            if entry and entry.state is State.RUNNING and entry.lease_id == lease_id:
                self._blame("what a lost answer told of stays taken", given.key[:8])
