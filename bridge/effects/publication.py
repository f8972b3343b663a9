"""Publishes the bridge's records, and does what follows when Kafka has them.

Effect first: a reply is marked, an offset settled only after the acknowledgement. What
Kafka does not take is told; the core asks for it again.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial

from agentsched.ledger.values import CallOutcome
from agentsched.wire.codec import PAYLOAD_HASH
from agentsched.wire.conflicts import is_conflict
from agentsched.wire.records import InboundRecord, OutboundRecord, RecordAt
from agentsched.wire.replies import reply_record
from agentsched.wire.request_facts import RequestFacts
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.effects.adapters import Outside
from bridge.effects.deferred import Inbox, follow
from bridge.effects.epoch_watch import EpochWatch
from bridge.effects.outage import Outage
from bridge.effects.unnoted import Unnoted
from bridge.observer import BridgeObserver

NO_CALL = CallOutcome(ok=False, called=False)


class Sending:
    """What one bridge publishes; for the loop's thread, and never waits for Kafka.

    Args:
        outside: the ledger, and what writes to Kafka and reads from it.
        epochs: which epoch is open.
        inbox: takes what follows from an acknowledgement.
        observer: is told of what had an effect, and of what failed.
        slow: does what blocks.
        outage: of Redis.
    """

    def __init__(  # noqa: PLR0913  (all that a record touches)
        self,
        outside: Outside,
        epochs: EpochWatch,
        inbox: Inbox,
        observer: BridgeObserver,
        slow: Executor,
        outage: Outage,
    ) -> None:
        self._out = outside
        self._ledger = outside.ledger
        self._epochs = epochs
        self._inbox = inbox
        self._observer = observer
        self._slow = slow
        self._under_way: set[str] = set()
        """The requests of which a reply or a dead letter is not yet acknowledged, or of
        which the ledger was not yet told that it is."""
        self._unnoted = Unnoted(epochs, outage, observer)

    def note(self) -> None:
        """Tell the ledger what Kafka acknowledged while Redis was silent."""
        self._unnoted.tell()

    def send_stored(self, command: do.SendStored) -> None:
        """Publish a stored reply, if there is one that is not under way.

        Raises:
            LedgerUnavailable: Redis did not say what is stored.
            EpochChanged: the epoch is another one.
        """
        if self._send_stored(command.key):
            self._observer.did(command)

    def answer(self, command: do.EndRequest) -> None:
        """Complete a request without a lease, and publish that reply.

        Raises:
            LedgerUnavailable: it may have been completed.
            EpochChanged: the epoch is another one.
        """
        key = command.facts.key
        epoch = self._epochs.epoch
        if self._ledger.complete(epoch, key, None, command.value, NO_CALL):
            self._observer.did(command)
            self._send_stored(key)

    def bury(self, command: do.BuryPoison) -> None:
        """Publish a dead letter, then answer.

        The dead letter first: once it is answered, nobody would send it any more.
        """
        key = command.facts.key
        if key in self._under_way:
            return
        self._under_way.add(key)

        def ended() -> None:
            self._under_way.discard(key)

        def answer() -> None:
            epoch = self._epochs.epoch
            won = self._ledger.complete(epoch, key, None, command.value, NO_CALL)
            ended()
            if won:
                self._send_stored(key)
                self._observer.did(command)

        def finish(at: RecordAt | None) -> list[ev.Event]:
            if at is None:
                ended()
            else:
                self._unnoted.add(answer, ended)
            return []

        self._send(command.dead_letter, finish)

    def deliver(self, command: do.PublishRefusal) -> None:
        """Send what settles an offset by itself; the answer comes through the inbox.

        The dead letter of a conflict comes after the record that tells of it: it is what
        settles the offset, and what is looked for after a loss of Redis.
        """
        conflict, alone = command.conflict, replace(command, conflict=None)
        if conflict is None:
            self._settle_by(command, command.record)
            return

        def finish(at: RecordAt | None) -> list[ev.Event]:
            if at is None:
                return [ev.SettleFailed(command)]
            # From here on only the dead letter is tried again.
            self._settle_by(alone, command.record)
            return []

        self._send(conflict, finish)

    def _settle_by(
        self, command: do.PublishRefusal | do.SendRepeat, record: OutboundRecord
    ) -> None:
        def finish(at: RecordAt | None) -> list[ev.Event]:
            if at is None:
                return [ev.SettleFailed(command)]
            # Without its bit in the bitmap the offset is still committed by us; only
            # a bridge that takes over before that would send the record again.
            self._unnoted.add(partial(self._settle, command.source, command.offset))
            self._observer.did(command)
            return [ev.OffsetSettled(command.source, command.offset)]

        self._send(record, finish)

    def repeat(self, command: do.SendRepeat) -> None:
        """Read a published reply back and send its bytes again, for the same caller."""

        def found(record: InboundRecord | None) -> list[ev.Event]:
            again = command.expired
            if record is not None and _answers(record, command):
                value = record.value or b""
                again = reply_record(command.facts, value, command.payload_hash)
            self._settle_by(command, again)
            return []

        def failed(error: BaseException) -> list[ev.Event]:
            # Unreachable is not gone: again later.
            self._observer.delivery_failed(command.reply_at.topic, error)
            return [ev.SettleFailed(command)]

        reading = self._slow.submit(self._out.read_back, command.reply_at)
        follow(reading, self._inbox, found, failed)

    def _send_stored(self, key: str) -> bool:
        if key in self._under_way:
            return False
        epoch = self._epochs.epoch
        stored = self._ledger.reply(epoch, key)
        if stored is None:
            return False
        self._under_way.add(key)

        def ended() -> None:
            self._under_way.discard(key)

        def published(at: RecordAt) -> None:
            if epoch == self._epochs.epoch:
                self._published(stored.facts, at)
            ended()

        def finish(at: RecordAt | None) -> list[ev.Event]:
            if at is None:
                ended()
            else:
                self._unnoted.add(partial(published, at), ended)
            return []

        reply = reply_record(stored.facts, stored.value, stored.payload_hash)
        self._send(reply, finish)
        return True

    def _published(self, facts: RequestFacts, at: RecordAt) -> None:
        if not self._ledger.published(self._epochs.epoch, facts.key, at):
            # The ledger has lost it; Kafka has the reply.
            self._settle(facts.source, facts.offset)

    def _settle(self, source: str, offset: int) -> None:
        self._ledger.settle(self._epochs.epoch, source, offset)

    def _send(
        self,
        record: OutboundRecord,
        finish: Callable[[RecordAt | None], list[ev.Event]],
    ) -> None:
        def failed(error: BaseException) -> list[ev.Event]:
            # Said with Kafka's own words: some refusals last until somebody acts.
            self._observer.delivery_failed(record.topic, error)
            return finish(None)

        follow(self._out.sink.send(record), self._inbox, finish, failed)


def _answers(record: InboundRecord, command: do.SendRepeat) -> bool:
    """Whether a record is this request's reply: its topic may have been made again.

    One of an older version does not name its payload; the ledger has compared it.
    """
    said, facts = record.headers, command.facts
    wanted = (facts.correlation_id, facts.agent_id, command.payload_hash)
    return not is_conflict(said) and wanted == (
        said.get("correlation_id"),
        said.get("agent_id"),
        said.get(PAYLOAD_HASH, command.payload_hash),
    )
