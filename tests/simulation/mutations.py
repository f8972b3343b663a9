"""Known bugs, put in the place of the real code: the simulation has to find each of them.

None of this is a switch in the product: each is a subclass of the real piece.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentsched.client.pending_requests import Outstanding
from agentsched.ledger.memory.ledger import MemoryLedger
from agentsched.ledger.memory.membership import MemoryMembership
from agentsched.ledger.turns import Publication, Turn, TurnAnswer
from agentsched.ledger.values import Admitted, Beat, Limits, PartitionView, State
from agentsched.types import Reply
from agentsched.wire.codec import Identity
from agentsched.wire.epoch import NO_EPOCH, EpochCounter
from agentsched.wire.records import RecordAt
from agentsched.wire.replies import reply_record
from agentsched.worker.call_result import CallResult
from agentsched.worker.execution import Ended, Execution, Run
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.rules import Rules
from bridge.effects import Effects
from tests.simulation import turn_mutations
from tests.simulation.system import Parts


class _CommitsAfterAdmission(Effects):
    """An admitted request counts as done."""

    def run(self, command: do.Command, epoch: str | None = None) -> list[ev.Event]:
        events = super().run(command, epoch)
        for event in list(events):
            if isinstance(event, ev.AdmitAnswered):
                events += [ev.OffsetSettled(*place) for place in event.places]
        return events


class _CommitsOneTooFar(Effects):
    """The offset after the watermark, as if it named the last one that is done."""

    def run(self, command: do.Command, epoch: str | None = None) -> list[ev.Event]:
        if isinstance(command, do.Commit):
            command = replace(command, offset=command.offset + 1)
        return super().run(command, epoch)


class _SettlesBeforeDelivery(Effects):
    """A dead letter that was handed to Kafka's client counts as delivered."""

    def run(self, command: do.Command, epoch: str | None = None) -> list[ev.Event]:
        events = super().run(command, epoch)
        if isinstance(command, do.PublishRefusal):
            events.append(ev.OffsetSettled(command.source, command.offset))
        return events


class _TellsNoConflict(Effects):
    """A conflict is a dead letter only: its sender waits until its time-out."""

    def run(self, command: do.Command, epoch: str | None = None) -> list[ev.Event]:
        if isinstance(command, do.PublishRefusal):
            command = replace(command, conflict=None)
        return super().run(command, epoch)


class _Forgetful(Effects):
    """Leaves one kind of command out."""

    left_out: type[Any] = type(None)

    def run(self, command: do.Command, epoch: str | None = None) -> list[ev.Event]:
        return [] if isinstance(command, self.left_out) else super().run(command, epoch)


class _RingsOnce(Effects):
    """No second doorbell for what stands first."""

    def run(self, command: do.Command, epoch: str | None = None) -> list[ev.Event]:
        if isinstance(command, do.Ring):
            rung = self.__dict__.setdefault("_rung", set())
            new = tuple(one for one in command.doorbells if one.task_id not in rung)
            rung.update(one.task_id for one in new)
            command = replace(command, doorbells=new)
        return super().run(command, epoch)


class _NeverExpires(_Forgetful):
    left_out = do.Expire


class _NeverSendsStored(_Forgetful):
    left_out = do.SendStored


class LooksLate(Effects):
    """Takes Redis's clock for a minute slow: what is overdue is answered then."""

    def run(self, command: do.Command, epoch: str | None = None) -> list[ev.Event]:
        events = super().run(command, epoch)
        return [self._later(event) for event in events]

    def _later(self, event: ev.Event) -> ev.Event:
        if isinstance(event, ev.PeersSeen) and event.ledger_ahead_ms is not None:
            return replace(event, ledger_ahead_ms=event.ledger_ahead_ms - 60_000)
        return event


class _DropsCancels(Effects):
    """Settles the record that cancels, and marks nothing."""

    def run(self, command: do.Command, epoch: str | None = None) -> list[ev.Event]:
        if isinstance(command, do.Cancel) and self.epoch:
            source, offset = command.source, command.offset
            self._out.ledger.settle(self.epoch, source, offset)
            return [ev.OffsetSettled(source, offset)]
        return super().run(command, epoch)


class _CancelsSilently(Effects):
    """What is cancelled gets no answer."""

    def run(self, command: do.Command, epoch: str | None = None) -> list[ev.Event]:
        if isinstance(command, do.EndRequest) and b'"CANCELLED"' in command.reply:
            return []
        return super().run(command, epoch)


class _PublishesBeforeComplete(Execution):
    """The reply goes to Kafka before the ledger has said whether it may."""

    async def _hand_in(self, run: Run, answer: CallResult) -> Ended:
        job = run.job
        await self._outside.publish(
            reply_record(job.facts, answer.value, job.payload_hash)
        )
        return await super()._hand_in(run, answer)


class _AcknowledgesBeforeDelivery(Execution):
    """The request is marked as published when Kafka's client has taken the reply."""

    async def _publish(self, run: Run, answer: CallResult) -> Ended:
        job, key = run.job, run.taken.key
        sent = self._outside.publish(
            reply_record(job.facts, answer.value, job.payload_hash)
        )
        at = RecordAt(job.facts.reply_topic, 0, 0)
        await self._outside.do(run.epoch, Publication(key, at), run.job.deadline)
        await sent
        return Ended.ANSWERED


class _NamesNoPayload(Execution):
    """A reply says only whose it is."""

    async def _publish(self, run: Run, answer: CallResult) -> Ended:
        run.job = replace(run.job, payload_hash="")
        return await super()._publish(run, answer)


class _MatchesIdsOnly(Outstanding):
    """A client takes every reply that has the ids of its request."""

    def answer(
        self, identity: Identity, reply: Reply, payload_hash: str | None = None
    ) -> None:
        del payload_hash
        super().answer(identity, reply)


class _AsksNoLease(MemoryLedger):
    """Every worker's reply is taken, the last wins."""

    def turn(self, epoch: str, turn: Turn) -> TurnAnswer:
        self.server.insist_on(epoch)
        for one in turn.completions:
            entry = self._book.find(one.key)
            if entry and entry.state is not State.ANSWERED:
                entry.state, entry.lease_id = State.RUNNING, one.lease_id
        return super().turn(epoch, turn)


class _ForgetsTurns(MemoryLedger):
    """What was taken before may be withdrawn, and begins anew."""

    def withdraw(self, epoch: str, keys: Sequence[str]) -> list[bool]:
        for key in keys:
            entry = self._book.find(key)
            if entry and entry.state is State.READY:
                entry.turn = 0
        return super().withdraw(epoch, keys)


class _AdmitsTwice(MemoryLedger):
    """A known request is admitted as if it were new."""

    def admit(self, epoch: str, admissions: Sequence[Any]) -> list[Admitted]:
        for admission in admissions:
            entry = self._book.find(admission.facts.key)
            if entry and entry.state is State.ANSWERED:
                del self._book._entries[admission.facts.key]
        return super().admit(epoch, admissions)


class _BeatsInAnyData(MemoryMembership):
    def beat(self, known: EpochCounter = NO_EPOCH, last_change: str = "") -> Beat:
        data = self._server.data
        if not data.pulse.epoch:
            data.pulse = known
        return super().beat(known, last_change)


class AttachesToWhatIsStored(MemoryLedger):
    """One reply settles a record, too, that may have come after it."""

    def admit(self, epoch: str, admissions: Sequence[Any]) -> list[Admitted]:
        for admission in admissions:
            facts = admission.facts
            entry = self._book.find(facts.key)
            if entry and entry.state is State.DONE:
                same = entry.payload_hash == admission.payload_hash
                if same and (facts.source, facts.offset) not in entry.offsets:
                    self._book.attach(entry, facts.source, facts.offset)
        return super().admit(epoch, admissions)


class _NamesNoEpoch(MemoryLedger):
    """A server that was emptied goes on as if nothing had happened."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        super().__init__(clock_ms)
        self.membership = _BeatsInAnyData(self.server)


class _BeatsInAnyTime(MemoryMembership):
    def beat(self, known: EpochCounter = NO_EPOCH, last_change: str = "") -> Beat:
        del last_change
        return super().beat(NO_EPOCH if self._server.data.pulse.epoch else known)


class _CountsNoBeats(MemoryLedger):
    """An epoch that is there is the right one, however old it is."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        super().__init__(clock_ms)
        self.membership = _BeatsInAnyTime(self.server)


class ForgetsSoon(MemoryLedger):
    """The horizon of a record is over before it is read again."""

    def admit(self, epoch: str, admissions: Sequence[Any]) -> list[Admitted]:
        for admission in admissions:
            entry, facts = self._book.find(admission.facts.key), admission.facts
            if entry and entry.state is State.ANSWERED:
                same = entry.offsets[0] == (facts.source, facts.offset)
                if same:
                    del self._book._entries[facts.key]
        return super().admit(epoch, admissions)


class _MarksNothingDone(ForgetsSoon):
    """No bitmap: only the horizon keeps what was answered from running again."""

    def partition(self, *arguments: Any) -> PartitionView:
        return replace(super().partition(*arguments), done=())


class Greedy(Rules):
    """A dispatcher that takes every capacity for three times as large."""

    def capacity(self) -> dict[tuple[str, str], int]:
        return {pool: 3 * number for pool, number in super().capacity().items()}

    def limits(self) -> Limits:
        return Rules(self.settings).limits()


@dataclass(frozen=True)
class Mutation:
    """A bug, how it shows, and the faults that bring it to light."""

    parts: Parts
    shows: str
    kinds: tuple[str, ...] = ()
    """None: it shows without any."""


NONE = Mutation(Parts(), "")
"""No bug of ours."""
PAST = "I8 committed past an unanswered record"
STUCK = "not at rest after the calm"
TWICE = "one turn of a request is started twice"
IN_SPITE = "a cancelled request is answered otherwise"
IN_HISTORIES = {"child", "hash", "not before", "turn"}
"""They need what whole runs hardly do; short histories have it."""
KINDS = {
    "live heartbeat": ("stop", "steps"),
    "seen": ("steps",),
    "record of the turn": ("steps",),
    "overtaken turns": ("steps",),
    "revision": ("orders",),
    "revision of a plan": ("orders",),
    "number of a plan": ("steps",),
    "dispatcher of a plan": ("steps", "pause"),
    "writer": ("kill", "pause"),
}
"""The faults that bring a missing check to light."""
SHOWS = {
    "capacity": "more calls than the capacity",
    "seen": "what a lost answer told of stays taken",
    "overtaken turns": "an overtaken turn takes",
}
"""How it shows in a whole run, where that is otherwise."""
TAKE_OVERS = ("kill", "commits", "rebalance")
MUTATIONS: dict[str, Mutation] = {
    f"no check: {name}": Mutation(
        Parts(ledger=ledger, rules=Greedy if name == "capacity" else Rules),
        SHOWS.get(name, shows),
        KINDS.get(name, ()),
    )
    for name, (ledger, shows) in turn_mutations.MUTATIONS.items()
    if name not in IN_HISTORIES
}
"""The checks of `plan` and `turn`, and then those of all the rest."""
MUTATIONS |= {
    "commit after admission": Mutation(Parts(effects=_CommitsAfterAdmission), PAST),
    "commit one too far": Mutation(Parts(effects=_CommitsOneTooFar), PAST),
    "settle before delivery": Mutation(
        Parts(effects=_SettlesBeforeDelivery), PAST, ("delivery",)
    ),
    "lost doorbells stay lost": Mutation(
        Parts(effects=_RingsOnce), STUCK, ("doorbells",)
    ),
    "leases never expire": Mutation(Parts(effects=_NeverExpires), STUCK, ("kill",)),
    "stored replies are not sent": Mutation(
        Parts(effects=_NeverSendsStored), STUCK, ("kill", "delivery")
    ),
    "cancels are dropped": Mutation(Parts(effects=_DropsCancels), IN_SPITE),
    "cancelled without an answer": Mutation(Parts(effects=_CancelsSilently), STUCK),
    "publish before complete": Mutation(
        Parts(execution=_PublishesBeforeComplete), "published before it was stored"
    ),
    "acknowledge before delivery": Mutation(
        Parts(execution=_AcknowledgesBeforeDelivery),
        "marked as published, and it is not in Kafka",
    ),
    "conflicts are not told": Mutation(
        Parts(effects=_TellsNoConflict), "a conflict is not told"
    ),
    "replies name no payload": Mutation(
        Parts(execution=_NamesNoPayload), "I3 the reply does not name its payload"
    ),
    "clients match ids only": Mutation(
        Parts(outstanding=_MatchesIdsOnly),
        "a client is handed the reply to another request",
    ),
    "no lease check": Mutation(
        Parts(ledger=_AsksNoLease),
        "I6 two completes have won",
        ("pause", "delivery"),
    ),
    "turns start again": Mutation(
        Parts(ledger=_ForgetsTurns), TWICE, ("pause", "steps")
    ),
    "no epoch": Mutation(Parts(ledger=_NamesNoEpoch), STUCK, ("flush",)),
    "no rollback counter": Mutation(Parts(ledger=_CountsNoBeats), STUCK, ("rollback",)),
    "no bitmap": Mutation(Parts(ledger=_MarksNothingDone), TWICE, TAKE_OVERS),
    "no memory of answers": Mutation(Parts(ledger=_AdmitsTwice), TWICE),
}
