"""Real effects on a ledger in memory, with a Kafka and doorbells that a test answers for."""

from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue

from agentsched.errors import DoorbellFailed, LedgerUnavailable
from agentsched.ledger.memory.ledger import MemoryLedger
from agentsched.ledger.turns import Member, Plan, PlanOutcome, PoolList, Turn
from agentsched.ledger.values import Admission, CallOutcome
from agentsched.telemetry.meters import Meters
from agentsched.wire.records import RecordAt
from bridge.core import commands as do
from bridge.core.rules import Rules
from bridge.effects import Effects, Outside
from bridge.observer import BridgeObserver
from tests.support.requests import ARRIVAL_MS, facts, settings

ENDPOINT = "http://127.0.0.1:1/v1"


AT = RecordAt("results", 0, 3)


class Unreachable:
    """Stands for a ledger that does not answer."""

    def __getattr__(self, name):
        if name in ("membership", "operations", "views"):
            return self

        def step(*_, **__):
            raise LedgerUnavailable("no answer")

        return step


class Doorbells:
    def __init__(self):
        self.rung, self.fails, self.known = [], False, []

    def ring(self, doorbells):
        if self.fails:
            raise DoorbellFailed("no broker")
        self.rung += doorbells

    def know(self, models):
        self.known += [model.name for model in models]


class Sink:
    """Keeps records; a test answers for Kafka."""

    def __init__(self):
        self.sent = []

    def send(self, record):
        self.sent.append((record, Future()))
        return self.sent[-1][1]

    def flush(self, timeout_s):
        del timeout_s
        return 0

    def close(self, timeout_s):
        del timeout_s
        return 0


@dataclass
class Rig:
    ledger: object = field(
        default_factory=lambda: MemoryLedger(lambda: ARRIVAL_MS + 1_000)
    )
    kept: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    answers: object = field(default_factory=dict)
    sink: object = field(default_factory=Sink)

    def __post_init__(self):
        self.now_ms = 7
        self.plans = self.turns = 0
        self.doorbells, self.inbox = Doorbells(), SimpleQueue()
        outside = Outside(
            ledger=self.ledger,
            membership=self.ledger.membership,
            operations=self.ledger.operations,
            doorbells=self.doorbells,
            sink=self.sink,
            read_back=lambda at: self.read_back(at),  # noqa: PLW0108  (tests replace it)
            look_up=self.look_up,
            now_ms=lambda: self.now_ms,
        )
        self.meters = Meters("bridge")
        observer = BridgeObserver(self.meters)
        self.redis = observer.meter.checks()["redis"]
        rules = Rules(settings())
        self.effects = Effects(outside, rules, "b1", self.inbox.put, observer)

    def read_back(self, at):
        return self.kept.get(at)

    def look_up(self, topics, wanted, since_ms, stopped):
        self.asked.append((wanted, since_ms))
        self.asked_in = topics
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers

    def open(self):
        self.epoch = self.effects.open().epoch
        self.effects.run(do.MeetPeers(lead=True))
        return self

    def admit(self, *keys):
        admissions = tuple(Admission(facts(key), b"{}", key) for key in keys)
        return self.effects.run(do.Admit(admissions))

    def plan(self, *keys):
        """List requests that were never taken; returns the ledger's answer."""
        self.plans += 1
        members = tuple(Member(key, key, 0, at) for at, key in enumerate(keys))
        lists = (PoolList("m", ENDPOINT, members),)
        plan = Plan("", self.plans, self.revision, "", lists)
        (answer,) = self.effects.run(do.PlanStarts(plan))
        return answer.answer

    @property
    def revision(self):
        return self.ledger.operations.orders(self.epoch, "b1").revision

    def take(self, key):
        """Start a request, as a worker does."""
        self.ledger.membership.beat_worker("w1", {"m": 4}, 10**9)
        assert self.plan(key).outcome is PlanOutcome.PLANNED
        self.turns += 1
        turn = Turn("w1", self.turns, self.turns - 1, 15_000, models=("m",))
        turn = replace(turn, lease_ids=("lease",), free_slots=1)
        (taken,) = self.ledger.turn(self.epoch, turn).taken
        assert taken.key == key

    def inboxed(self, timeout_s=5):
        events = list(self.inbox.get(timeout=timeout_s)())
        while True:
            try:
                events += self.inbox.get_nowait()()
            except Empty:
                self.effects.note()
                return events


def done(rig, key="k"):
    """A request whose reply is stored and not published."""
    rig.admit(key)
    rig.take(key)
    rig.ledger.complete(rig.epoch, key, "lease", b'{"x": 1}', CallOutcome(ok=True))


def state_of(rig, key="k"):
    (view,) = rig.ledger.inspect(rig.epoch, [key])
    return view and view.state
