"""Publishes the bridge's records, and does what follows when Kafka has them.

Effect first: a reply is marked, an offset settled only after the acknowledgement. What
Kafka does not take is told; the core asks for it again.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

from agentsched.ledger.turns import MAX_STEPS, Publication, Turn
from agentsched.ledger.values import (
    Admission,
    AdmitOutcome,
    Admitted,
    CallOutcome,
    StoredReply,
)
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

NO_WORKER = "bridge"
"""Whose turns a bridge does: names of workers have an @."""
MOST_FRESH = 5_000
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
        self._fresh: dict[tuple[str, str], StoredReply] = {}
        """Replies that this bridge has stored itself and is about to send, by epoch and
        key."""
        self._acknowledged: list[_Acknowledged] = []
        """What Kafka has since the ledger was told last."""
        self._unnoted = Unnoted(epochs, outage, observer)

    def note(self) -> None:
        """Tell the ledger what Kafka has acknowledged, in batches."""
        told, self._acknowledged = self._acknowledged, []
        for at in range(0, len(told), MAX_STEPS):
            batch = told[at : at + MAX_STEPS]
            self._unnoted.add(partial(self._tell, batch), partial(self._end, batch))
        self._unnoted.tell()

    def stored(
        self, admissions: Sequence[Admission], answers: Sequence[Admitted]
    ) -> None:
        """Keep replies that were stored with their requests: they need not be read."""
        if len(self._fresh) > MOST_FRESH:
            self._fresh.clear()  # they are read where they are asked for
        for admission, answer in zip(admissions, answers, strict=True):
            if answer.outcome is AdmitOutcome.NEW and admission.reply:
                facts = admission.facts
                self._fresh[self._epochs.epoch, facts.key] = StoredReply(
                    facts, admission.reply, admission.payload_hash
                )

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
        stored = self._fresh.pop((epoch, key), None) or self._ledger.reply(epoch, key)
        if stored is None:
            return False
        self._under_way.add(key)

        def finish(at: RecordAt | None) -> list[ev.Event]:
            if at is None:
                self._under_way.discard(key)
            else:
                self._acknowledged.append(_Acknowledged(stored.facts, at, epoch))
            return []

        reply = reply_record(stored.facts, stored.value, stored.payload_hash)
        self._send(reply, finish)
        return True

    def _tell(self, batch: Sequence["_Acknowledged"]) -> None:
        """Mark replies as published; one round trip, which a bridge shares with workers."""
        epoch = self._epochs.epoch
        told = [one for one in batch if one.epoch == epoch]
        publications = tuple(Publication(one.facts.key, one.at) for one in told)
        if publications:
            # It takes nothing: no heartbeat of a worker has this name.
            turn = Turn(NO_WORKER, 0, 0, 0, published=publications)
            answers = self._ledger.turn(epoch, turn).published
            for one, known in zip(told, answers, strict=True):
                if not known:  # the ledger has lost it; Kafka has the reply
                    self._settle(one.facts.source, one.facts.offset)
        self._end(batch)

    def _end(self, batch: Sequence["_Acknowledged"]) -> None:
        self._under_way.difference_update(one.facts.key for one in batch)

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


@dataclass(frozen=True, slots=True)
class _Acknowledged:
    """A reply that Kafka has."""

    facts: RequestFacts
    at: RecordAt
    epoch: str
    """In which it was stored."""


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
