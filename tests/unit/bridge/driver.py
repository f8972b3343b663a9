"""Drives the core with events, for tests; plays the ledger where a test says so."""

from agentsched.ledger.answered_offsets import runs_of
from agentsched.ledger.operator_orders import Controls
from agentsched.ledger.turns import Parked, Planned, PlanOutcome
from agentsched.ledger.values import (
    AdmitOutcome,
    Admitted,
    Change,
    PartitionView,
    State,
)
from agentsched.wire.records import Partition
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.rules import Rules
from bridge.core.state import BridgeState
from bridge.core.step import step
from tests.support.requests import record, settings

SOURCE = "medium_priority:t1:0"
PARTITION = Partition("medium_priority", 0)


class Driver:
    """One bridge core; `said` has the commands of the last event and of its round."""

    def __init__(self, **changes):
        self.state = BridgeState(Rules(settings(**changes)), epoch="e1")
        self.state.controls = Controls()
        self.said = []
        self.now_ms = 1_000_000
        self.lists = {}
        """(model, endpoint) -> the keys that are listed there."""

    def feed(self, event):
        """Give it an event, alone in its round."""
        self.state, commands = step(self.state, event)
        self.state, decided = step(self.state, ev.Round(self.state.now_ms))
        self.said = [*commands, *decided]
        for plan in self.of(do.PlanStarts):
            for one in plan.plan.lists:
                keys = [member.key for member in one.members]
                self.lists[one.model, one.endpoint] = keys
        return self.said

    def listed(self, model="m"):
        """The keys that may start at the first endpoint of a model, first come first."""
        return next((keys for at, keys in self.lists.items() if at[0] == model), [])

    def planned(self, *parked, outcome=PlanOutcome.PLANNED):
        """Answer the PlanStarts command of the last event."""
        (command,) = self.of(do.PlanStarts)
        slots = tuple(Parked(f"w{n}", *each) for n, each in enumerate(parked))
        return self.feed(
            ev.Planned(command, Planned(outcome, parked=slots), self.now_ms)
        )

    def change(self, kind, at, **fields):
        """Say that one thing has changed."""
        change = Change(kind, at, **fields)
        return self.feed(ev.Changed((change,), self.now_ms, self.state.epoch))

    def of(self, kind):
        return [command for command in self.said if isinstance(command, kind)]

    def tick(self, after_ms=0):
        self.now_ms += after_ms
        return self.feed(ev.Tick(self.now_ms))

    def own(
        self, start=0, end=0, done=(), live=None, source=SOURCE, partition=PARTITION
    ):
        self.feed(ev.Assigned(partition, source, start, end))
        return self.load(done, live, source, partition)

    def load(self, done=(), live=None, source=SOURCE, partition=PARTITION):
        """Say what the ledger knows of a partition, and that Kafka has our note."""
        loaded = self.feed(ev.PartitionLoaded(source, self.view(done, live)))
        mark = self.state.partitions[source].tracker.watermark
        self.feed(ev.Committed(partition, mark))
        self.said = [*loaded, *self.said]
        return self.said

    def view(self, done=(), live=None, watermark=0):
        """What the ledger may know of a partition."""
        return PartitionView(tuple(runs_of(sorted(done))), live or {}, watermark)

    def read(self, *offsets, **body):
        records = tuple(
            record(offset, {"correlation_id": f"c{offset}"} | body)
            for offset in offsets
        )
        return self.feed(ev.Read(records, self.now_ms))

    def admitted(self, outcome=AdmitOutcome.NEW, state=State.READY, reply_at=None):
        """Answer the Admit command of the last event."""
        (admit,) = self.of(do.Admit)
        places = tuple((a.facts.source, a.facts.offset) for a in admit.admissions)
        answers = (Admitted(outcome, state, reply_at),) * len(places)
        self.feed(ev.AdmitAnswered(places, answers, self.now_ms))
        return admit.admissions

    def lead(self, **live_slots):
        return self.feed(
            ev.PeersSeen(1, leading=True, live_slots=live_slots, now_ms=self.now_ms)
        )

    def lose(self, epoch="e2", age_ms=0):
        """Begin another epoch, as after a loss of Redis."""
        return self.feed(ev.EpochOpened(epoch, 1, age_ms, self.now_ms))

    def look_up(self, *offsets):
        """Let time pass until Kafka is asked, and say which offsets have an answer."""
        self.tick(60_000)
        (command,) = self.of(do.LookUpReplies)
        return self.feed(ev.LookedUp(command, {SOURCE: offsets}, self.now_ms))

    def watermark(self, source=SOURCE):
        return self.state.partitions[source].tracker.watermark
