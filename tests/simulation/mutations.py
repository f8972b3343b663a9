"""Known bugs, put in the place of the real code: the simulation has to find each of them.

None of this is a switch in the product: each is a subclass of the real piece.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentsched.client.pending_requests import Outstanding
from agentsched.ledger.memory.ledger import MemoryLedger
from agentsched.ledger.memory.membership import MemoryMembership
from agentsched.ledger.values import (
    Admitted,
    Beat,
    Claimed,
    Limits,
    PartitionView,
    ReserveOutcome,
    State,
)
from agentsched.types import Reply
from agentsched.wire.codec import Identity
from agentsched.wire.epoch import NO_EPOCH, EpochCounter
from agentsched.wire.records import RecordAt
from agentsched.wire.replies import reply_record
from agentsched.worker.call_result import CallResult, Job
from agentsched.worker.execution import Ended, Execution
from agentsched.worker.leases import HeldLease
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.rules import Rules
from bridge.effects import Effects
from tests.simulation.system import Parts


class _CommitsAfterEnqueue(Effects):
    """A reserved request counts as done."""

    def run(self, command: do.Command, epoch: str | None = None) -> list[ev.Event]:
        events = super().run(command, epoch)
        for event in list(events):
            reserved = isinstance(event, ev.ReserveAnswered) and (
                event.outcome is ReserveOutcome.RESERVED
            )
            if reserved:
                facts = event.command.facts
                events.append(ev.OffsetSettled(facts.source, facts.offset))
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


class _RingsOnce(_Forgetful):
    left_out = do.RingAgain


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

    def _hand_in(
        self, job: Job, lease: HeldLease, answer: CallResult, *, fenced: bool
    ) -> Ended:
        delivery = self._sink.send(
            reply_record(job.facts, answer.value, job.payload_hash)
        )
        delivery.result(self._settings.timing.delivery_timeout_s)
        return super()._hand_in(job, lease, answer, fenced=fenced)


class _AcknowledgesBeforeDelivery(Execution):
    """The request is marked as published when Kafka's client has taken the reply."""

    def _publish(self, job: Job, lease: HeldLease, answer: CallResult) -> Ended:
        self._sink.send(reply_record(job.facts, answer.value, job.payload_hash))
        at = RecordAt(job.facts.reply_topic, 0, 0)
        self._ledger.published(lease.epoch, lease.key, at)
        return Ended.ANSWERED


class _NamesNoPayload(Execution):
    """A reply says only whose it is."""

    def _publish(self, job: Job, lease: HeldLease, answer: CallResult) -> Ended:
        return super()._publish(replace(job, payload_hash=""), lease, answer)


class _MatchesIdsOnly(Outstanding):
    """A client takes every reply that has the ids of its request."""

    def answer(
        self, identity: Identity, reply: Reply, payload_hash: str | None = None
    ) -> None:
        del payload_hash
        super().answer(identity, reply)


class _AsksNoLease(MemoryLedger):
    """Every worker's reply is taken, the last wins."""

    def complete(self, epoch: str, key: str, lease_id: str | None, *rest: Any) -> bool:
        entry = self._book.find(key)
        if entry and lease_id and entry.state is not State.ANSWERED:
            if entry.state is State.DONE:
                entry.state = State.RUNNING
            entry.lease_id = lease_id
        return super().complete(epoch, key, lease_id, *rest)


class _AsksNoRing(MemoryLedger):
    """Every doorbell starts its request, however old it is."""

    def claim(self, epoch: str, key: str, ring: int, *rest: Any) -> Claimed:
        entry = self._book.find(key)
        return super().claim(epoch, key, entry.ring if entry else ring, *rest)


class _ForgetsRings(MemoryLedger):
    """A withdrawn request begins again with ring number 1."""

    def withdraw(self, epoch: str, keys: Sequence[str]) -> list[bool]:
        for key in keys:
            entry = self._book.find(key)
            if entry and entry.state is State.READY:
                entry.ring = 0
        return super().withdraw(epoch, keys)


class _RunsWhatIsCancelled(MemoryLedger):
    """A mark keeps nobody from starting a request."""

    def reserve(self, epoch: str, by: str, key: str, *rest: Any) -> ReserveOutcome:
        self._unmark(key)
        return super().reserve(epoch, by, key, *rest)

    def claim(self, epoch: str, key: str, *rest: Any) -> Claimed:
        self._unmark(key)
        return super().claim(epoch, key, *rest)

    def _unmark(self, key: str) -> None:
        if entry := self._book.find(key):
            entry.ending = None


class _AdmitsTwice(MemoryLedger):
    """A known request is admitted as if it were new."""

    def admit(self, epoch: str, admissions: Sequence[Any]) -> list[Admitted]:
        for admission in admissions:
            entry = self._book.find(admission.facts.key)
            if entry and entry.state is State.ANSWERED:
                del self._book._entries[admission.facts.key]
        return super().admit(epoch, admissions)


class _BeatsInAnyData(MemoryMembership):
    def beat(self, known: EpochCounter = NO_EPOCH, heard: str = "") -> Beat:
        data = self._server.data
        if not data.pulse.epoch:
            data.pulse = known
        return super().beat(known, heard)


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
    def beat(self, known: EpochCounter = NO_EPOCH, heard: str = "") -> Beat:
        del heard
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


class _CountsNoSlots(MemoryLedger):
    """Neither a reservation nor a claim asks whether there is a slot."""

    def reserve(self, *arguments: Any) -> ReserveOutcome:
        self._lift_limits()
        return super().reserve(*arguments)

    def claim(self, *arguments: Any) -> Claimed:
        self._lift_limits()
        return super().claim(*arguments)

    def _lift_limits(self) -> None:
        limits = self._book.limits
        many = dict.fromkeys(limits.capacity, 1_000)
        self._book.limits = replace(limits, capacity=many)


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
TWICE = "one ring started twice"
IN_SPITE = "a cancelled request is answered otherwise"
TAKE_OVERS = ("kill", "commits", "rebalance")
MUTATIONS: dict[str, Mutation] = {
    "commit after enqueue": Mutation(Parts(effects=_CommitsAfterEnqueue), PAST),
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
    "a mark stops nothing": Mutation(
        Parts(ledger=_RunsWhatIsCancelled), IN_SPITE, ("pause",)
    ),
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
    "no ring number": Mutation(Parts(ledger=_AsksNoRing), TWICE, ("kill", "doorbells")),
    "rings start again": Mutation(
        Parts(ledger=_ForgetsRings), TWICE, ("pause", "steps")
    ),
    "no capacity check": Mutation(
        Parts(ledger=_CountsNoSlots, rules=Greedy), "more calls than the capacity"
    ),
    "no epoch": Mutation(Parts(ledger=_NamesNoEpoch), STUCK, ("flush",)),
    "no rollback counter": Mutation(Parts(ledger=_CountsNoBeats), STUCK, ("rollback",)),
    "no bitmap": Mutation(Parts(ledger=_MarksNothingDone), TWICE, TAKE_OVERS),
    "no memory of answers": Mutation(Parts(ledger=_AdmitsTwice), TWICE),
}
