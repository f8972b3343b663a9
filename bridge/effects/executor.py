"""Knows who carries out which command, and when Redis is not even tried.

A step that Redis did not answer counts as not done: the core tries again, and the
ledger's steps may be repeated. Work that takes long (Kafka's acknowledgements)
comes back through `inbox`, so that the loop never waits for it.
"""

import threading
from collections.abc import Callable

from agentsched.errors import (
    EpochChanged,
    LedgerError,
    LedgerUnavailable,
    NewerFormat,
)
from agentsched.ledger.values import Beat
from agentsched.wire.epoch import NO_EPOCH, EpochCounter
from agentsched.wire.records import Mark
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.rules import Rules
from bridge.effects.adapters import Outside, PartitionReader
from bridge.effects.deferred import Inbox, follow
from bridge.effects.doorbells import Ringing
from bridge.effects.ledger_steps import PartitionStep, RequestStep, Steps, undone
from bridge.effects.membership import Presence, PresenceCommand
from bridge.effects.outage import Outage
from bridge.effects.publication import Sending
from bridge.observer import BridgeObserver

CLOSE_S = 5.0

KafkaCommand = (
    do.PublishRefusal
    | do.SendRepeat
    | do.LookUpReplies
    | do.RaiseAlarm
    | do.Commit
    | do.Pause
    | do.Resume
)
"""Commands that need no Redis."""

RedisCommand = (
    RequestStep
    | PartitionStep
    | PresenceCommand
    | do.BeatEpoch
    | do.SendStored
    | do.EndRequest
    | do.BuryPoison
)
"""All others: a command that is in neither fails the check of the types."""


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
        inbox: Inbox,
        observer: BridgeObserver | None = None,
        address: Callable[[], str] = str,
    ) -> None:
        self._out = outside
        self._id = bridge_id
        self._inbox = inbox
        self._observer = observer = observer or BridgeObserver()
        self._slow = outside.make_thread("read-back")
        self._looking = outside.make_thread("look-up")
        self._presence = Presence(outside, rules, bridge_id, observer, address)
        self._epochs = epochs = self._presence.epochs
        self._outage = outage = Outage(outside.now_ms)
        self._ringing = Ringing(outside.doorbells, observer, outside.now_ms)
        self._steps = Steps(
            outside.ledger, epochs, bridge_id, self._ringing, observer, outside.now_ms
        )
        self._answer_topics = dict.fromkeys(rules.answer_topics())
        """All that there were since the start: answers lie in those, too."""
        self._sending = Sending(outside, epochs, inbox, observer, self._slow, outage)
        self._reader: PartitionReader | None = None
        self._closing = threading.Event()
        self.refused: NewerFormat | None = None
        """Why nothing is done in Redis any more: this process has to end."""

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

    def open(self, known: EpochCounter = NO_EPOCH) -> ev.EpochOpened | None:
        """Open the epoch and write the limits; None when it is open.

        Args:
            known: the highest pulse that is written in Kafka.

        Raises:
            LedgerUnavailable: Redis does not answer.
        """
        self._epochs.remember(known, "")
        beat = self._epochs.check()
        return self._opened(beat) if beat else None

    def adopt(self, rules: Rules) -> None:
        """Use another revision of the configuration; raises LedgerError."""
        if self._outage.lasts:
            raise LedgerUnavailable("Redis did not answer a moment ago")
        try:
            self._presence.adopt(rules)
        except LedgerUnavailable as error:
            self._silent("adopt", error)
            raise
        self._ringing.adopt(rules)
        self._answer_topics |= dict.fromkeys(rules.answer_topics())

    def log_position(self) -> str:
        """Return where the change log is now; raises LedgerError."""
        return self._out.ledger.snapshot(self.epoch).cursor

    def note(self) -> None:
        """Tell the ledger what Kafka has acknowledged; at the end of a turn of the loop."""
        self._sending.note()

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
            self._presence.leave()
        except LedgerError as error:
            # Lease and heartbeat run out by themselves.
            self._observer.meter.redis.failed("leave_bridge", error)

    def run(self, command: do.Command, epoch: str | None = None) -> list[ev.Event]:
        """Carry out one command.

        Args:
            command: what the core has decided.
            epoch: in which it was decided. In another one no step is done: a request
                that was admitted so would be doubted, and its entry might never end.
                None: the open one.

        Returns:
            The events that answer it now; others come through the inbox.
        """
        if isinstance(command, KafkaCommand):
            self._do_without_redis(command)
            return []
        down = self._outage.lasts
        void = epoch is not None and epoch != self.epoch
        if down or void or self.refused:
            return self._undone(command)
        return self._run(command)

    def _run(self, command: RedisCommand) -> list[ev.Event]:
        try:
            # After an outage it may be an older Redis: nothing is done in it unchecked.
            if beat := self._epochs.check_if_doubted():
                return [self._opened(beat), *self._undone(command)]
            return self._do(command)
        except EpochChanged:
            return [*self._reopen(), *self._undone(command)]
        except NewerFormat as error:
            self._observer.meter.redis.too_old(error)
            self.refused = error
            return self._undone(command)
        except LedgerUnavailable as error:
            self._silent(type(command).__name__, error)
            return self._undone(command)

    def _silent(self, step: str, error: LedgerUnavailable) -> None:
        self._observer.meter.redis.failed(step, error)
        self._epochs.doubt()
        self._outage.begin()

    def _undone(self, command: do.Command) -> list[ev.Event]:
        return undone(command, self._out.now_ms())

    def _reopen(self) -> list[ev.Event]:
        try:
            beat = self._epochs.check()
        except LedgerUnavailable as error:
            self._silent("BeatEpoch", error)
            return []
        except NewerFormat:
            return []  # the next step says it
        return [self._opened(beat)] if beat else []

    def _opened(self, beat: Beat) -> ev.EpochOpened:
        epoch, beats = beat.pulse
        self._slow.submit(self._drop_older, epoch)
        now_ms = self._out.now_ms()
        return ev.EpochOpened(epoch, beats, beat.age_ms, beat.fresh, now_ms)

    def _drop_older(self, epoch: str) -> None:
        try:
            self._out.membership.drop_older(epoch)
        except LedgerError as error:  # who opens the next one does it
            self._observer.not_noted(error)

    def _do(self, command: RedisCommand) -> list[ev.Event]:
        if isinstance(command, RequestStep):
            answers = self._steps.of_request(command)
            for answer in answers:
                if isinstance(command, do.Admit) and isinstance(
                    answer, ev.AdmitAnswered
                ):
                    self._sending.stored(command.admissions, answer.answers)
            return answers
        if isinstance(command, PartitionStep):
            return self._steps.of_partition(command)
        if isinstance(command, PresenceCommand):
            return self._presence.do(command)
        match command:
            case do.BeatEpoch(known, last_change):
                return self._beat(known, last_change)
            case do.SendStored():
                self._sending.send_stored(command)
            case do.EndRequest():
                self._sending.answer(command)
            case do.BuryPoison():
                self._sending.bury(command)
        return []

    def _beat(self, known: EpochCounter, last_change: str) -> list[ev.Event]:
        self._epochs.remember(known, last_change)
        beat = self._epochs.check()
        self._sending.note()
        if beat:
            return [self._opened(beat)]
        return [ev.EpochBeaten(self._epochs.pulse)]

    def _do_without_redis(self, command: KafkaCommand) -> None:
        match command:
            case do.PublishRefusal():
                self._sending.deliver(command)
            case do.SendRepeat():
                self._sending.repeat(command)
            case do.LookUpReplies():
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

    def _look_up(self, command: do.LookUpReplies) -> None:
        wanted = {one.source: range(one.start, one.end) for one in command.wanted}
        looking = self._looking.submit(
            self._out.look_up,
            tuple(self._answer_topics),
            wanted,
            command.since_ms,
            self._closing.is_set,
        )
        follow(
            looking,
            self._inbox,
            lambda found: [ev.LookedUp(command, found, self._out.now_ms())],
            lambda error: [ev.LookUpFailed(command, str(error))],
        )
