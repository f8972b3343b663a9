"""Random histories of `plan` and `turn` on a ledger alone; much faster than whole runs.

Dispatchers plan from old views, workers repeat and give up, their messages come late or
never, some die, operators and bridges interfere. Whatever the ledger answers is compared
with what has to hold; nothing here looks into it. Time goes in steps, like that of the
model with which the protocol was tried first.
"""

import math
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from agentsched.errors import EpochChanged
from agentsched.ledger.operator_orders import Control, ControlKind
from agentsched.ledger.turns import (
    Completion,
    HandBack,
    Member,
    Plan,
    PlanOutcome,
    PoolList,
    Publication,
    Taken,
    Turn,
)
from agentsched.ledger.values import (
    Admission,
    AdmitOutcome,
    CallOutcome,
    Limits,
    PutBack,
    ReadyEntry,
    State,
)
from agentsched.wire.codec import hash_value
from agentsched.wire.epoch import NO_EPOCH
from agentsched.wire.records import RecordAt
from agentsched.wire.request_facts import RequestFacts

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = 330
CALM_STEPS = 600
"""After it everything must be answered: leases and heartbeats have to run out."""
LEASE = 30
GIVE_UP = LEASE - 2
AGAIN = 6
"""Steps until an unanswered turn is sent again."""
LEADS = 9
BEATS = 12
RENEWS = 7
GONE_FOR = 15
"""The longest time in which a worker reaches nobody."""
REMEMBERED = 100
SLOTS = 2
SUSPECT_CRASHES = 2
POOLS = (("gpt-4", "one"), ("llama3", "two"))
MODELS = tuple(model for model, _ in POOLS)
CHOICES = (MODELS[:1], MODELS[1:], MODELS)
KEYS = tuple(f"{number:032x}" for number in range(60))
POISONOUS = set(KEYS[::15])
CRASHES = 3
"""In a child, after which a request ends."""
SOURCE = "medium_priority:T:0"
OK = CallOutcome(ok=True, model_ms=1)
UNCALLED = CallOutcome(ok=False, called=False)
AT = RecordAt("results", 0, 1)
KEEP_S = 3600


TIMED = {
    "a lease runs out that its worker does not know of",
    "a plan of one who does not lead",
    "not answered after the calm",
    "the list of one who does not lead is used",
}
"""Rules whose check takes a step for as long as it should be."""


@dataclass
class Lease:
    """What one take gave."""

    worker: "Worker"
    number: int
    """Of the turn that took it."""
    key: str
    cut_off: bool = False
    """Its worker could not renew it."""


@dataclass(eq=False)
class Worker:
    """One process, with the rules that the design gives it."""

    name: str
    epoch: str
    number: int = 0
    seen: int = 0
    calls: dict[str, Taken] = field(default_factory=dict)
    """By lease id."""
    held: dict[str, str] = field(default_factory=dict)
    """lease id -> key: what it renews, until it knows that the lease is over."""
    steps: list[Any] = field(default_factory=list)
    """To report in the next turn."""
    pending: Turn | None = None
    asked: int = 0
    sent: int = -AGAIN
    cut_off_until: int = 0
    dead: bool = False
    left: bool = False


@dataclass
class Known:
    """One request as the test knows it, since it was admitted."""

    facts: RequestFacts
    payload_hash: str
    started: dict[int, str] = field(default_factory=dict)
    """turn -> lease id."""
    cancelled: bool = False
    not_before_ms: int = 0
    winners: set[str] = field(default_factory=set)


class History:
    """One history; `violations` is empty where the ledger keeps the rules.

    Args:
        seed: decides all of it.
        backend: the ledger and its clock.
        step_ms: how long a step lasts.
        losses: whether Redis may lose its data.
    """

    def __init__(
        self, seed: int, backend: Any, step_ms: int = 100, *, losses: bool = True
    ) -> None:
        self._rng = Random(seed)
        self._backend = backend
        self._ledger = backend.ledger
        self._ms = step_ms
        self._losses = losses
        self.violations: set[str] = set()
        self.starts = 0
        self._step = 0
        self._wire: list[tuple[int, Callable[[], None]]] = []
        self._offset = 0
        self._workers: list[Worker] = []
        self._known: dict[str, Known] = {}
        self._leases: dict[str, Lease] = {}
        self._handed_back: set[str] = set()
        self._paused: set[str] = set()
        self._lists: dict[tuple[str, str], tuple[str, int, set[tuple[str, str, int]]]]
        self._numbers = dict.fromkeys("AB", 0)
        self._accepted: dict[str, int] = {}
        self._leader, self._leads_until_ms = "", 0
        self._pulse = NO_EPOCH
        self._saved: Any = None
        self._open()
        for _ in range(2):
            self._hire()

    def run(self) -> "History":
        """Run it to its end."""
        for self._step in range(STEPS):
            self._turn_of_all(calm=False)
        self._heal()
        for self._step in range(STEPS, STEPS + CALM_STEPS):
            self._turn_of_all(calm=True)
            if not self._known:
                return self
        self._blame("not answered after the calm")
        return self

    def _blame(self, what: str) -> None:
        self.violations.add(what)

    def _chance(self, ratio: float) -> bool:
        return self._rng.random() < ratio

    def _turn_of_all(self, *, calm: bool) -> None:
        self._backend.advance(self._ms)
        self._keep_alive()
        if not calm:
            self._agents()
            self._operators()
            self._fate()
        if self._chance(0.3):
            self._bridges()
        self._dispatcher(self._rng.choice("AB"), calm=calm)
        for worker in [one for one in self._workers if not one.dead]:
            if worker.cut_off_until <= self._step:
                self._work(worker, calm=calm)
        arrived = [one for one in self._wire if one[0] <= self._step]
        self._wire = [one for one in self._wire if one[0] > self._step]
        for _, act in arrived:
            try:
                act()
            except EpochChanged:
                continue

    # -- the epoch ----------------------------------------------------------------

    def _open(self) -> None:
        """Begin with an epoch that knows of nothing."""
        self._pulse = self._ledger.membership.beat(self._pulse).pulse
        self._epoch = self._pulse.epoch
        self._known, self._lists, self._accepted = {}, {}, {}
        self._set_limits(3, 2, 0)

    def _set_limits(self, first: int, second: int, most: int) -> None:
        capacity = dict(zip(POOLS, (first, second), strict=True))
        # A late message must not meet another request with the same key.
        horizon_s = math.ceil(REMEMBERED * self._ms / 1000)
        self._limits = Limits(capacity, most, 100, horizon_s)
        self._ledger.set_limits(self._epoch, self._limits)
        self._revision = self._ledger.operations.orders(self._epoch, "b").revision

    def _fate(self) -> None:
        if self._losses and self._chance(0.002):
            if self._saved is not None and self._chance(0.5):
                saved, self._leader, self._leads_until_ms = self._saved
                self._backend.rollback(saved)
            else:
                self._backend.lose()
                self._leader = ""
            self._saved = None
            self._open()
            self._restore()
        elif self._losses and self._chance(0.0015):
            saved = self._backend.save()
            self._saved = saved, self._leader, self._leads_until_ms
            self._pulse = self._ledger.membership.beat(self._pulse).pulse
        worker = self._rng.choice(self._workers)
        if worker.dead or not self._chance(0.015):
            return
        how = self._rng.choice(("leaves", "dies", "is cut off"))
        if how == "is cut off":
            worker.cut_off_until = self._step + self._rng.randrange(GONE_FOR)
            for lease in self._leases.values():
                lease.cut_off |= lease.worker is worker
            return
        if how == "leaves":
            if worker.calls:
                return
            self._ledger.membership.leave_worker(worker.name)
            worker.left = True
        worker.dead = True
        self._hire()

    def _restore(self) -> None:
        """Operators' orders outlive a loss: bridges put them back."""
        controls = [Control(ControlKind.PAUSE, model) for model in sorted(self._paused)]
        there = set(self._ledger.operations.controls().paused)
        for model in there - self._paused:
            self._ledger.operations.lift(ControlKind.PAUSE, model)
        self._ledger.operations.restore(controls)
        self._revision = self._ledger.operations.orders(self._epoch, "b").revision

    def _heal(self) -> None:
        for model in sorted(self._paused):
            self._ledger.operations.lift(ControlKind.PAUSE, model)
        self._paused.clear()
        self._set_limits(3, 2, 0)

    # -- agents, operators, bridges -----------------------------------------------

    def _agents(self) -> None:
        key = self._rng.choice(KEYS)
        if self._chance(0.3) and key not in self._known:
            self._admit(key)
        elif self._known and self._chance(0.08):
            key = self._rng.choice(list(self._known))
            if self._ledger.withdraw(self._epoch, [key]) == [True]:
                self._known.pop(key, None)
                self._admit(key)
        elif self._chance(0.02) and key in self._known:
            state = self._ledger.cancel(self._epoch, key, KEEP_S)
            self._known[key].cancelled = state not in (None, State.DONE, State.ANSWERED)

    def _admit(self, key: str) -> None:
        self._offset += 1
        payload = b"%d" % self._rng.randrange(6)
        now_ms = self._backend.now_ms()
        facts = RequestFacts(
            key=key,
            agent_id="planner",
            correlation_id=key[-2:],
            group="planner",
            cls="medium",
            models=CHOICES[int(payload) % 3],
            task_type="text_generation",
            tokens=1,
            arrival_ms=now_ms,
            deadline_ms=now_ms + self._rng.choice((20, 400, 400)) * self._ms,
            topic="medium_priority",
            partition=0,
            offset=self._offset,
            source=SOURCE,
            reply_topic="results",
        )
        admission = Admission(facts, payload, hash_value(payload))
        (admitted,) = self._ledger.admit(self._epoch, [admission])
        if admitted.outcome is AdmitOutcome.NEW:
            self._known[key] = Known(facts, admission.payload_hash)

    def _operators(self) -> None:
        if self._chance(0.015):
            model = self._rng.choice(MODELS)
            if model in self._paused:
                self._ledger.operations.lift(ControlKind.PAUSE, model)
                self._paused.discard(model)
            else:
                self._ledger.operations.impose(Control(ControlKind.PAUSE, model))
                self._paused.add(model)
            self._revision = self._ledger.operations.orders(self._epoch, "b").revision
        elif self._chance(0.01):
            first, second = self._rng.randrange(1, 4), self._rng.randrange(1, 3)
            self._set_limits(first, second, self._rng.choice((0, 0, 2)))

    def _bridges(self) -> None:
        keys = list(self._known)
        views = self._ledger.inspect(self._epoch, keys)
        for key, view in zip(keys, views, strict=True):
            if view is None:
                self._blame("an admitted request is lost")
                del self._known[key]
            elif view.state is State.ANSWERED:
                del self._known[key]
            elif view.state is State.DONE and self._chance(0.3):
                self._ledger.published(self._epoch, key, AT)
                del self._known[key]
            elif view.state in (State.READY, State.RUNNING):
                self._look_after(key, view)

    def _look_after(self, key: str, view: Any) -> None:
        if (view.ending or view.overdue_ms > 5 * self._ms) and self._chance(0.6):
            self._won(
                key,
                "bridge",
                self._ledger.complete(self._epoch, key, None, b"bridge", UNCALLED),
            )
        elif view.state is State.RUNNING:
            started = self._known[key].started
            if self._ledger.expire(self._epoch, key) and started:
                self._ran_out(self._leases[started[max(started)]])

    def _ran_out(self, lease: Lease) -> None:
        worker = lease.worker
        if not worker.dead and not lease.cut_off and worker.seen > lease.number:
            self._blame("a lease runs out that its worker does not know of")

    def _won(self, key: str, who: str, won: bool) -> None:  # noqa: FBT001
        if won and key in self._known:
            self._known[key].winners.add(who)
            if len(self._known[key].winners) > 1:
                self._blame("two completes have won")

    # -- dispatchers --------------------------------------------------------------

    def _dispatcher(self, who: str, *, calm: bool) -> None:
        ttl_ms = LEADS * self._ms
        if self._chance(0.5) and self._ledger.membership.lead(who, ttl_ms):
            self._leader = who
            self._leads_until_ms = self._backend.now_ms() + ttl_ms
        if self._chance(0.6):
            snapshot = self._ledger.snapshot(self._epoch)
            self._numbers[who] += 1
            pools = self._rng.sample(POOLS, self._rng.choice((1, 2)))
            lists = tuple(self._list(pool, snapshot.ready) for pool in pools)
            plan = Plan(who, self._numbers[who], self._revision, snapshot.cursor, lists)
            epoch, late = self._epoch, 0 if calm else self._rng.choice((0, 1, 1, 8))
            self._wire.append((self._step + late, lambda: self._plan(epoch, plan)))

    def _list(self, pool: tuple[str, str], ready: tuple[ReadyEntry, ...]) -> PoolList:
        model, endpoint = pool
        fits = [
            one
            for one in ready
            if model in one.facts.models and one.not_before_ms <= self._backend.now_ms()
        ]
        self._rng.shuffle(fits)
        members = tuple(
            Member(one.facts.key, one.payload_hash, one.turn, order)
            for order, one in enumerate(fits[:4])
        )
        return PoolList(model, endpoint, () if model in self._paused else members)

    def _plan(self, epoch: str, plan: Plan) -> None:
        answer = self._ledger.plan(epoch, plan)
        if answer.outcome is not PlanOutcome.PLANNED:
            return
        who = plan.dispatcher_id
        if not self._leads(who):
            self._blame("a plan of one who does not lead")
        if plan.revision != self._revision:
            self._blame("a plan for old limits or orders")
        last = self._accepted.get(who, 0)
        if plan.number < last:
            self._blame("an older plan after a newer one")
        if plan.number > last:
            self._accepted[who] = plan.number
            for one in plan.lists:
                members = {(m.key, m.payload_hash, m.turn) for m in one.members}
                self._lists[one.model, one.endpoint] = (who, plan.revision, members)
        for parked in answer.parked:
            if any(one.name == parked.worker_id and one.left for one in self._workers):
                self._blame("slots of a worker that has left are parked")

    def _leads(self, who: str) -> bool:
        return who == self._leader and self._leads_until_ms > self._backend.now_ms()

    # -- workers ------------------------------------------------------------------

    def _hire(self) -> None:
        worker = Worker(f"w{len(self._workers)}", self._epoch)
        self._workers.append(worker)
        self._beat(worker)

    def _beat(self, worker: Worker) -> None:
        free = max(0, SLOTS - len(worker.calls))
        slots = dict.fromkeys(MODELS, SLOTS)
        epoch = self._ledger.membership.beat_worker(
            worker.name, slots, BEATS * self._ms, parked=free
        )
        if epoch != worker.epoch:
            worker.epoch, worker.pending = epoch, None
            worker.steps.clear()
            worker.held = {one: call.key for one, call in worker.calls.items()}

    def _keep_alive(self) -> None:
        for worker in self._workers:
            if worker.dead or worker.cut_off_until > self._step:
                continue
            if self._step % 3 == 0:
                self._beat(worker)
            if self._step % RENEWS == 0:
                self._renew(worker)

    def _renew(self, worker: Worker) -> None:
        wanted = {key: lease_id for lease_id, key in worker.held.items()}
        try:
            renewed = self._ledger.renew(worker.epoch, wanted, LEASE * self._ms)
        except EpochChanged:
            return
        for key, lease_id in wanted.items():
            if not renewed[key]:
                del worker.held[lease_id]
                if worker.calls.pop(lease_id, None):
                    worker.steps.append(HandBack(key, lease_id))

    def _work(self, worker: Worker, *, calm: bool) -> None:
        for lease_id, one in list(worker.calls.items()):
            if self._chance(0.15):
                del worker.calls[lease_id]
                if one.key in POISONOUS and one.crashes < SUSPECT_CRASHES:
                    # Whoever runs it dies; here only the lease does.
                    self._leases[lease_id].cut_off = True
                    del worker.held[lease_id]
                else:
                    worker.steps.append(self._ending(lease_id, one))
        free = len(worker.calls) < SLOTS
        if worker.pending is None and (worker.steps or free) and self._chance(0.7):
            worker.pending = self._next_turn(worker)
            worker.asked, worker.sent = self._step, self._step - AGAIN
        if worker.pending is None or self._step - worker.sent < AGAIN:
            return
        if self._step - worker.asked >= GIVE_UP:
            turn = worker.pending
            again = (*turn.published, *turn.completions, *turn.hand_backs)
            worker.steps, worker.pending = [*again, *worker.steps], None
            return
        self._send(worker, worker.pending, calm=calm)

    def _ending(self, lease_id: str, one: Taken) -> Completion | HandBack:
        kind = self._rng.random()
        if one.key in POISONOUS:
            return HandBack(one.key, lease_id, 0, PutBack.CRASHED, CRASHES)
        if kind < 0.8:
            return Completion(one.key, lease_id, lease_id.encode(), OK)
        if kind < 0.9:
            return HandBack(one.key, lease_id, self._rng.choice((0, 10)) * self._ms)
        return HandBack(one.key, lease_id, 0, PutBack.UNSTARTED)

    def _next_turn(self, worker: Worker) -> Turn:
        worker.number += 1
        steps, worker.steps = worker.steps, []
        free = max(0, SLOTS - len(worker.calls))
        return Turn(
            worker.name,
            worker.number,
            worker.seen,
            LEASE * self._ms,
            tuple(one for one in steps if isinstance(one, Publication)),
            tuple(one for one in steps if isinstance(one, Completion)),
            tuple(one for one in steps if isinstance(one, HandBack)),
            MODELS if self._chance(0.5) else MODELS[::-1],
            tuple(f"{worker.name}.{worker.number}.{n}" for n in range(free)),
            self._rng.randrange(2),
            free,
        )

    def _send(self, worker: Worker, turn: Turn, *, calm: bool) -> None:
        worker.sent = self._step
        fate = 0.0 if calm else self._rng.random()
        late = 0 if fate < 0.7 else self._rng.choice((1, 5, 9, 20, 60))
        epoch = worker.epoch
        if fate < 0.95:
            arrive = lambda: self._turn(epoch, worker, turn, answered=fate < 0.75)  # noqa: E731
            self._wire.append((self._step + late, arrive))

    def _turn(self, epoch: str, worker: Worker, turn: Turn, *, answered: bool) -> None:
        answer, now_ms = self._ledger.turn(epoch, turn), self._backend.now_ms()
        for done, won in zip(turn.completions, answer.completed, strict=True):
            self._won(done.key, done.lease_id, won)
        for back, done in zip(turn.hand_backs, answer.put_back, strict=True):
            if done and back.lease_id not in self._handed_back:
                self._handed_back.add(back.lease_id)
                self._known[back.key].not_before_ms = now_ms + back.delay_ms
        new = [one for one in answer.taken if one.lease_id not in self._leases]
        for one in answer.taken:
            if one in new:
                self._started(worker, turn, one)
            elif self._leases[one.lease_id].key != one.key:
                self._blame("one lease is given twice")
        suspects = sum(one.crashes >= SUSPECT_CRASHES for one in new)
        if suspects > turn.free_children:
            self._blame("more suspects than children")
        self._check_capacity({(one.model, one.endpoint) for one in new})
        hears = answered and not worker.dead and worker.cut_off_until <= self._step
        if hears and worker.pending is turn:
            self._answered(worker, turn, answer)

    def _answered(self, worker: Worker, turn: Turn, answer: Any) -> None:
        worker.pending, worker.seen = None, turn.number
        for done, won in zip(turn.completions, answer.completed, strict=True):
            if won and self._chance(0.8):
                worker.steps.append(Publication(done.key, AT))
        for over in (*turn.completions, *turn.hand_backs):
            worker.held.pop(over.lease_id, None)
        for one in answer.taken:
            worker.calls[one.lease_id] = one
            worker.held[one.lease_id] = one.key
        if answer.taken and self._step - worker.asked >= LEASE - RENEWS:
            self._renew(worker)  # the next time would be too late
        if len(worker.calls) > SLOTS:
            self._blame("more calls than slots")

    def _started(self, worker: Worker, turn: Turn, one: Taken) -> None:
        self.starts += 1
        lease = Lease(worker, turn.number, one.key, worker.cut_off_until > self._step)
        self._leases[one.lease_id] = lease
        known = self._known.get(one.key)
        now_ms = self._backend.now_ms()
        if known is None or known.payload_hash != one.payload_hash:
            self._blame("a request starts that nobody has admitted so")
            return
        if known.started.setdefault(one.turn, one.lease_id) != one.lease_id:
            self._blame("one turn of a request is started twice")
        if worker.left:
            self._blame("a worker that has left starts something")
        if known.cancelled:
            self._blame("a cancelled request starts")
        if known.facts.deadline_ms <= now_ms:
            self._blame("a request starts after its deadline")
        if known.not_before_ms > now_ms:
            self._blame("a request starts too early")
        if one.model not in known.facts.models:
            self._blame("a request starts on a model that may not answer it")
        if one.model in self._paused:
            self._blame("a paused model starts something")
        self._check_list(one)

    def _check_list(self, one: Taken) -> None:
        who, revision, members = self._lists.get(
            (one.model, one.endpoint), ("", 0, set())
        )
        if not self._leads(who):
            self._blame("the list of one who does not lead is used")
        if revision != self._revision:
            self._blame("a list for old limits or orders is used")
        if (one.key, one.payload_hash, one.turn - 1) not in members:
            self._blame("a request starts as it is not listed")

    def _check_capacity(self, pools: set[tuple[str, str]]) -> None:
        if not pools:
            return
        slots = self._ledger.snapshot(self._epoch).slots
        most = self._limits.max_in_flight
        for pool in pools:
            used = sum((one.model, one.endpoint) == pool for one in slots)
            if used > self._limits.capacity[pool] or (most and len(slots) > most):
                self._blame("more starts than the capacity")
