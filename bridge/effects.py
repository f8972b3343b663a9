"""Does what the core asks for, and answers with events; it decides nothing.

A step that Redis did not answer counts as not done: the core tries again, and the
ledger's steps may be repeated. Work that takes long (Kafka's acknowledgements)
comes back through `inbox`, so that the loop never waits for it.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from agentsched.codec import reply_record
from agentsched.doorbell import Doorbell
from agentsched.errors import DoorbellFailed, EpochChanged, LedgerUnavailable
from agentsched.kafka_records import (
    InboundRecord,
    Mark,
    OutboundRecord,
    Partition,
    RecordAt,
)
from agentsched.ledger.controls import Controls
from agentsched.ledger.operations import Operations
from agentsched.ledger.protocol import Ledger, Membership
from agentsched.ledger.records import (
    NO_PULSE,
    AdmitOutcome,
    Admitted,
    Beat,
    Outcome,
    Pulse,
    RequestFacts,
    ReserveOutcome,
    State,
)
from agentsched.ports import DoorbellSender, RecordSink
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.rules import Rules
from bridge.epoch import EpochWatch
from bridge.observing import BridgeObserver

DOWN_MS = 1_000
"""How long no step is tried after Redis did not answer one."""
CLOSE_S = 5.0
TOLD_FOR_MS = 60_000
"""How long an answer to an operator is kept."""
NO_CALL = Outcome(ok=False, called=False)
IN_KAFKA = (
    do.Deliver,
    do.SendRepeat,
    do.LookUp,
    do.RaiseAlarm,
    do.Commit,
    do.Pause,
    do.Resume,
)
"""Commands that need no Redis."""

Later = Callable[[], list[ev.Event]]
"""What remains to be done in the loop's own thread when something has ended."""


class PartitionReader(Protocol):
    """What the bridge needs of Kafka beside polling."""

    def commit(self, marks: Mapping[Partition, Mark]) -> None:
        """Commit watermarks of partitions that are owned now; does not block."""

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Read no more from these."""

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Read on."""


class LookUp(Protocol):
    """Finds out which records have a reply or a dead letter in Kafka."""

    def __call__(
        self,
        wanted: Mapping[str, range],
        since_ms: int,
        stopped: Callable[[], bool],
    ) -> Mapping[str, Collection[int]]:
        """Return the offsets that have one, by source; blocks, maybe for minutes.

        Args:
            wanted: the offsets to look for, by source.
            since_ms: none was written before this time of Kafka.
            stopped: whether to give up.

        Raises:
            AgentSchedError: Kafka did not answer, or it was stopped.
        """


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything that a bridge talks to."""

    ledger: Ledger
    membership: Membership
    operations: Operations
    doorbells: DoorbellSender
    sink: RecordSink
    read_back: Callable[[RecordAt], InboundRecord | None]
    """Read one record at its coordinates; blocks for a bounded time."""
    look_up: LookUp
    now_ms: Callable[[], int]


class Effects:
    """Carries out commands for one bridge.

    Args:
        outside: the adapters.
        rules: the configuration in force.
        bridge_id: random; also the id under which it takes the dispatcher lease.
        inbox: takes what has to go on in the loop's thread; called from any thread.
        observer: is told of what had an effect, and of what failed.
        address: where this bridge shows metrics and health; empty: nowhere.
    """

    def __init__(  # noqa: PLR0913  (the last two have defaults)
        self,
        outside: Outside,
        rules: Rules,
        bridge_id: str,
        inbox: Callable[[Later], None],
        observer: BridgeObserver | None = None,
        address: Callable[[], str] = str,
    ) -> None:
        self._out = outside
        self._rules = rules
        self._id = bridge_id
        self._inbox = inbox
        self._observer = observer or BridgeObserver()
        self._address = address
        self._reader: PartitionReader | None = None
        self._sending: set[str] = set()
        self._down_until_ms = 0
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="read-back")
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="look-up")
        self._closing = threading.Event()
        self._controls = Controls()
        self._epochs = EpochWatch(outside.membership, self._begin_epoch)

    @property
    def epoch(self) -> str:
        """The epoch that is open; empty: none yet."""
        return self._epochs.epoch

    @property
    def bridge_id(self) -> str:
        """Names this bridge."""
        return self._id

    def attach(self, reader: PartitionReader) -> None:
        """Give the Kafka side, which itself needs this bridge's callbacks."""
        self._reader = reader

    def open(self, known: Pulse = NO_PULSE) -> ev.EpochOpened | None:
        """Open the epoch and write the limits; None when it is open.

        Args:
            known: the highest pulse that is written in Kafka.

        Raises:
            LedgerUnavailable: Redis does not answer.
        """
        self._epochs.note(known, "")
        beat = self._epochs.check()
        return self._opened(beat) if beat else None

    def _begin_epoch(self, epoch: str) -> None:
        # Ours only with its limits: else nothing could ever be reserved in it.
        self._out.ledger.set_limits(epoch, self._rules.limits())
        # Only what a loss took: a paused model must not start because of one.
        self._out.operations.restore(self._controls)

    def adopt(self, rules: Rules) -> None:
        """Use another revision of the configuration; raises LedgerError."""
        self._out.ledger.set_limits(self.epoch, rules.limits())
        self._out.doorbells.know(rules.settings.models)
        self._rules = rules

    def log_position(self) -> str:
        """Return where the change log is now; raises LedgerError."""
        return self._out.ledger.snapshot(self.epoch).cursor

    def flush(self, timeout_s: float) -> None:
        """Wait for what Kafka has not acknowledged yet."""
        self._out.sink.flush(timeout_s)

    def close(self) -> None:
        """Give up the lease and the heartbeat; Redis may be gone."""
        self._closing.set()
        for threads in (self._slow, self._looking):
            threads.shutdown(wait=True, cancel_futures=True)
        self._out.sink.close(CLOSE_S)
        try:
            self._out.membership.resign(self._id)
            self._out.membership.leave_bridge(self._id)
        except LedgerUnavailable as error:
            # Lease and heartbeat run out by themselves.
            self._observer.meter.redis_failed("leave_bridge", error)

    def run(self, command: do.Command) -> list[ev.Event]:
        """Carry out one command.

        Returns:
            The events that answer it now; others come through the inbox.
        """
        if isinstance(command, IN_KAFKA):
            return self._do_in_kafka(command)
        if self._out.now_ms() < self._down_until_ms:
            return self._undone(command)
        try:
            # After an outage it may be an older Redis: nothing is done in it unchecked.
            if beat := self._epochs.check_if_doubted():
                return [self._opened(beat), *self._undone(command)]
            return self._do(command)
        except EpochChanged:
            return [*self._reopen(), *self._undone(command)]
        except LedgerUnavailable as error:
            self._observer.meter.redis_failed(type(command).__name__, error)
            self._epochs.doubt()
            # Each try may block for the socket's time-out: one is enough for now.
            self._down_until_ms = self._out.now_ms() + DOWN_MS
            return self._undone(command)

    def _reopen(self) -> list[ev.Event]:
        try:
            beat = self._epochs.check()
        except LedgerUnavailable:
            return []
        return [self._opened(beat)] if beat else []

    def _opened(self, beat: Beat) -> ev.EpochOpened:
        epoch, beats = beat.pulse
        self._slow.submit(self._drop_older, epoch)
        now_ms = self._out.now_ms()
        return ev.EpochOpened(epoch, beats, beat.age_ms, beat.fresh, now_ms)

    def _drop_older(self, epoch: str) -> None:
        self._quietly(lambda: self._out.membership.drop_older(epoch))

    def _undone(self, command: do.Command) -> list[ev.Event]:
        """Answer for a step that did not happen, or may not have happened."""
        now_ms = self._out.now_ms()
        match command:
            case do.Admit(admissions):
                full = (Admitted(AdmitOutcome.FULL),) * len(admissions)
                return [ev.AdmitAnswered(_places(command), full, now_ms)]
            case do.Withdraw(keys):
                return [ev.WithdrawAnswered(keys, (False,) * len(keys))]
            case do.Reserve():
                refused = ReserveOutcome.NOT_READY
                return [ev.ReserveAnswered(command, refused, now_ms)]
            case do.Cancel() | do.RestoreDone():
                return [ev.SettleFailed(command)]
            case do.MeetPeers():
                return [ev.PeersSeen(1, leading=False, live_slots={}, now_ms=now_ms)]
        return []

    def _do(self, command: do.Command) -> list[ev.Event]:  # noqa: C901, PLR0911, PLR0912
        out, epoch, now_ms = self._out, self.epoch, self._out.now_ms()
        match command:
            case do.LoadPartition(source, start, end):
                view = out.ledger.partition(epoch, source, start, end)
                return [ev.PartitionLoaded(source, view)]
            case do.Admit(admissions):
                answers = tuple(out.ledger.admit(epoch, admissions))
                self._observer.admitted(admissions, answers)
                return [ev.AdmitAnswered(_places(command), answers, now_ms)]
            case do.Withdraw(keys):
                gone = tuple(out.ledger.withdraw(epoch, keys))
                return [ev.WithdrawAnswered(keys, gone)]
            case do.Reserve(_, ring, model, endpoint):
                outcome = out.ledger.reserve(
                    epoch, self._id, command.key, ring, model, endpoint
                )
                return [ev.ReserveAnswered(command, outcome, now_ms)]
            case do.Ring(doorbell):
                self._ring(command, doorbell)
            case do.RingAgain(facts, ring, model):
                if out.ledger.ring_again(epoch, facts.key, ring):
                    self._ring(command, _doorbell(command, epoch))
            case do.Unreserve(key, ring):
                self._note(command, done=out.ledger.unreserve(epoch, key, ring))
            case do.Expire(key):
                self._note(command, done=out.ledger.expire(epoch, key))
            case do.Inspect(keys):
                return [self._inspect(keys, now_ms)]
            case do.SendStored(key):
                self._note(command, done=self._send_stored(key))
            case do.BeatEpoch(known, heard):
                return self._beat(known, heard)
            case do.RestoreDone(source, runs):
                out.ledger.restore_done(epoch, source, runs)
            case do.MeetPeers(lead):
                peers = self._meet(lead=lead, now_ms=now_ms)
                self._observer.meter.redis_answered()
                return [peers]
            case do.ReadOrders():
                return [self._read_orders(epoch, now_ms)]
            case do.CountCalls():
                totals = out.ledger.totals(epoch)
                calls = {model: one.calls for model, one in totals.items()}
                return [ev.CallsCounted(calls, now_ms)]
            case do.Report(report):
                ttl_ms = int(self._rules.settings.timing.heartbeat_ttl_s * 1000)
                told = report.model_copy(update={"http": self._address()})
                out.operations.report(self._id, told, ttl_ms)
            case do.Tell(question_id, findings):
                out.operations.tell(question_id, self._id, findings, TOLD_FOR_MS)
            case do.TakeSnapshot():
                return [ev.Synced(out.ledger.snapshot(epoch), now_ms)]
            case do.Cancel(key, keep_s, source, offset):
                out.ledger.cancel(epoch, key, keep_s)
                out.ledger.settle(epoch, source, offset)
                self._observer.did(command)
                return [ev.OffsetSettled(source, offset)]
            case do.ForgetDone(source, watermark):
                out.ledger.forget_done(epoch, source, watermark)
            case do.Answer():
                self._answer(command)
            case do.Bury():
                self._bury(command)
        return []

    def _note(self, command: do.Command, *, done: bool) -> None:
        if done:
            self._observer.did(command)

    def _answer(self, command: do.Answer | do.Bury) -> None:
        key = command.facts.key
        if self._out.ledger.complete(self.epoch, key, None, command.value, NO_CALL):
            self._observer.did(command)
            self._send_stored(key)

    def _bury(self, command: do.Bury) -> None:
        """The dead letter first: once it is answered, nobody would send it any more."""
        key = command.facts.key
        if key in self._sending:
            return
        self._sending.add(key)

        def finish(at: RecordAt | None) -> list[ev.Event]:
            self._sending.discard(key)
            if at is not None:
                self._quietly(lambda: self._answer(command))
            return []

        self._send(command.dead_letter, finish)

    def _do_in_kafka(self, command: do.Command) -> list[ev.Event]:
        match command:
            case do.Deliver(record):
                return self._deliver(command, record)
            case do.SendRepeat():
                self._repeat(command)
            case do.LookUp():
                self._look_up(command)
            case do.RaiseAlarm():
                self._observer.did(command)
            case do.Commit(partition, offset, metadata) if self._reader:
                self._reader.commit({partition: Mark(offset, metadata)})
            case do.Pause(partitions) if self._reader:
                self._reader.pause(partitions)
                self._observer.did(command)
            case do.Resume(partitions) if self._reader:
                self._reader.resume(partitions)
                self._observer.did(command)
        return []

    def _beat(self, known: Pulse, heard: str) -> list[ev.Event]:
        self._epochs.note(known, heard)
        if beat := self._epochs.check():
            return [self._opened(beat)]
        return [ev.EpochBeaten(self._epochs.pulse)]

    def _look_up(self, command: do.LookUp) -> None:
        def found(looking: "Future[Mapping[str, Collection[int]]]") -> None:
            if looking.cancelled():
                return
            if error := looking.exception():
                detail = str(error)
                self._inbox(lambda: [ev.LookUpFailed(command, detail)])
                return
            answered = looking.result()
            self._inbox(lambda: [ev.LookedUp(command, answered, self._out.now_ms())])

        wanted = {one.source: range(one.start, one.end) for one in command.wanted}
        self._looking.submit(
            self._out.look_up, wanted, command.since_ms, self._closing.is_set
        ).add_done_callback(found)

    def _ring(self, command: do.Ring | do.RingAgain, doorbell: Doorbell) -> None:
        try:
            self._out.doorbells.ring([doorbell])
        except DoorbellFailed as error:
            self._observer.doorbell_failed(doorbell, error)
        else:
            self._observer.did(command)

    def _inspect(self, keys: tuple[str, ...], now_ms: int) -> ev.Inspected:
        views = tuple(self._out.ledger.inspect(self.epoch, keys))
        rung = [view.model for view in views if view and view.state is State.RUNG]
        return ev.Inspected(keys, views, self._doorbells(rung), now_ms)

    def _doorbells(self, models: Sequence[str]) -> dict[str, int]:
        settings = self._rules.settings
        queues = {
            name: model.queue for name in models if (model := settings.model(name))
        }
        try:
            return {
                name: self._out.doorbells.waiting(queue)
                for name, queue in queues.items()
            }
        except DoorbellFailed:
            return dict.fromkeys(models, 1)  # unknown: do not ring into it

    def _meet(self, *, lead: bool, now_ms: int) -> ev.PeersSeen:
        membership, timing = self._out.membership, self._rules.settings.timing
        bridges = membership.beat_bridge(self._id, int(timing.heartbeat_ttl_s * 1000))
        if not lead:
            membership.resign(self._id)
        leading = lead and membership.lead(
            self._id, int(timing.dispatcher_lease_s * 1000)
        )
        ahead_ms = membership.now_ms() - self._out.now_ms()
        return ev.PeersSeen(bridges, leading, membership.live_slots(), now_ms, ahead_ms)

    def _read_orders(self, epoch: str, now_ms: int) -> ev.OrdersSeen:
        orders = self._out.operations.orders(epoch, self._id)
        now, before = set(orders.controls), set(self._controls)
        self._observer.controlled(now - before, before - now)
        self._controls = orders.controls
        return ev.OrdersSeen(orders.controls, orders.questions, now_ms)

    def _send_stored(self, key: str) -> bool:
        """Publish a stored reply; returns whether there is one that is not under way."""
        if key in self._sending:
            return False
        stored = self._out.ledger.reply(self.epoch, key)
        if stored is None:
            return False
        self._sending.add(key)
        epoch = self.epoch

        def finish(at: RecordAt | None) -> list[ev.Event]:
            self._sending.discard(key)
            if at is not None and epoch == self.epoch:
                self._quietly(lambda: self._published(stored.facts, at))
            return []

        self._send(reply_record(stored.facts, stored.value), finish)
        return True

    def _published(self, facts: RequestFacts, at: RecordAt) -> None:
        if not self._out.ledger.published(self.epoch, facts.key, at):
            # The ledger has lost it; Kafka has the reply.
            self._out.ledger.settle(self.epoch, facts.source, facts.offset)

    def _deliver(
        self, command: do.Deliver | do.SendRepeat, record: OutboundRecord
    ) -> list[ev.Event]:
        """Send what settles an offset by itself; the answer comes through the inbox."""

        def finish(at: RecordAt | None) -> list[ev.Event]:
            if at is None:
                return [ev.SettleFailed(command)]
            # Without its bit in the bitmap the offset is still committed by us; only
            # a bridge that takes over before that would send the record again.
            self._quietly(
                lambda: self._out.ledger.settle(
                    self.epoch, command.source, command.offset
                )
            )
            self._observer.did(command)
            return [ev.OffsetSettled(command.source, command.offset)]

        self._send(record, finish)
        return []

    def _repeat(self, command: do.SendRepeat) -> None:
        def found(reading: "Future[InboundRecord | None]") -> None:
            if reading.cancelled():
                return
            if error := reading.exception():  # unreachable is not gone: again later
                topic = command.reply_at.topic
                self._inbox(
                    lambda: self._not_sent(
                        topic, error, lambda _: [ev.SettleFailed(command)]
                    )
                )
                return
            record = reading.result()
            again = command.expired if record is None else _again(record, command)
            self._inbox(lambda: self._deliver(command, again))

        self._slow.submit(self._out.read_back, command.reply_at).add_done_callback(
            found
        )

    def _send(
        self,
        record: OutboundRecord,
        finish: Callable[[RecordAt | None], list[ev.Event]],
    ) -> None:
        def delivered(sending: "Future[RecordAt]") -> None:
            if error := sending.exception():
                self._inbox(lambda: self._not_sent(record.topic, error, finish))
            else:
                self._inbox(lambda: finish(sending.result()))

        self._out.sink.send(record).add_done_callback(delivered)

    def _not_sent(
        self,
        topic: str,
        error: BaseException,
        finish: Callable[[RecordAt | None], list[ev.Event]],
    ) -> list[ev.Event]:
        # Said with Kafka's own words: some refusals last until somebody acts.
        self._observer.delivery_failed(topic, error)
        return finish(None)

    def _quietly(self, ledger_step: Callable[[], object]) -> None:
        """Do a step that something else repeats when it does not happen now."""
        try:
            ledger_step()
        except (EpochChanged, LedgerUnavailable) as error:
            self._observer.not_noted(error)


def _places(command: do.Admit) -> tuple[tuple[str, int], ...]:
    return tuple((a.facts.source, a.facts.offset) for a in command.admissions)


def _doorbell(command: do.RingAgain, epoch: str) -> Doorbell:
    return Doorbell.of(command.facts, command.ring + 1, epoch, command.model)


def _again(record: InboundRecord, command: do.SendRepeat) -> OutboundRecord:
    """The same bytes once more, for the same caller."""
    return reply_record(command.facts, record.value or b"")
