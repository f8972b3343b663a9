"""Replays dead letters: checks whether it can help, sends the record, then marks it.

The record first, its marker afterwards: what is interrupted in between is sent again by
the next replay, with the same identity and bytes, so that it is one request.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from agentsched.config.settings import Settings
from agentsched.errors import CodecError, DeliveryFailed, ErrorCode
from agentsched.protocols import RecordSink
from agentsched.wire.codec import (
    AnswerableError,
    decode_cancel,
    decode_request,
    is_cancel,
    names_in,
)
from agentsched.wire.dead_letters import DeadLetter, place
from agentsched.wire.json import read_object
from agentsched.wire.records import InboundRecord, OutboundRecord, RecordAt
from agentsched.wire.replays import marker_record, replay_record

if TYPE_CHECKING:
    from concurrent.futures import Future

BATCH = 100
"""Records whose acknowledgements are waited for together."""


class ReplayOutcome(StrEnum):
    """What became of one dead letter."""

    REPLAYED = "replayed"
    WOULD_BE = "would be replayed"
    """In a dry run."""
    REFUSED = "not replayed"
    FAILED = "failed"
    """Kafka did not acknowledge it: it may be there all the same. Replay it again."""


@dataclass(frozen=True, slots=True)
class Replay:
    """One dead letter, and what became of it."""

    letter: DeadLetter
    """Without content."""
    outcome: ReplayOutcome
    why: str = ""
    """Why it was not replayed."""
    to: RecordAt | None = None
    """Where the record is now."""
    correlation_id: str = ""
    """The identity that the replayed request has."""


class CannotReplay(Exception):  # noqa: N818  (control flow within this module)
    """The text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Replayer:
    """Replays the dead letters of one installation.

    Args:
        settings: the configuration that bridges use.
        read_back: reads a record at its place; None when Kafka no longer has it.
        sink: where records go; None: a dry run.
    """

    settings: Settings
    read_back: Callable[[RecordAt], InboundRecord | None]
    sink: RecordSink | None = None

    def replay(self, letters: Iterable[DeadLetter]) -> Iterator[Replay]:
        """Replay them in their order; blocks for each hundred of them.

        Raises:
            KafkaFailed: Kafka does not answer a read.
        """
        waiting = iter(letters)
        while batch := list(islice(waiting, BATCH)):
            yield from self._replay_batch(batch)

    def _replay_batch(self, batch: list[DeadLetter]) -> Iterator[Replay]:
        begun = [self._begin(letter) for letter in batch]
        sent = [_acknowledged(replay, sending) for replay, sending in begun]
        marks = [self._mark(each) for each in sent]
        for each, mark in zip(sent, marks, strict=True):
            yield _noted(each, mark)

    def _begin(self, letter: DeadLetter) -> "tuple[Replay, Future[RecordAt] | None]":
        bare = letter.bare()
        try:
            record = self._record(letter)
        except CannotReplay as problem:
            return Replay(bare, ReplayOutcome.REFUSED, str(problem)), None
        _, id_ = names_in(InboundRecord("", 0, 0, 0, record.value, record.headers))
        if self.sink is None:
            return Replay(bare, ReplayOutcome.WOULD_BE, correlation_id=id_), None
        replay = Replay(bare, ReplayOutcome.REPLAYED, correlation_id=id_)
        return replay, self.sink.send(record)

    def _record(self, letter: DeadLetter) -> OutboundRecord:
        if letter.source.topic not in self.settings.kafka.input_topics:
            raise CannotReplay(
                f"no bridge reads {letter.source.topic} (kafka.input_topics)"
            )
        record = letter.record if letter.is_whole else self._source(letter)
        if letter.was_answered:
            _insist_on_json(record)
        else:
            self._insist_on_a_chance(record)
        return replay_record(letter, record)

    def _source(self, letter: DeadLetter) -> InboundRecord:
        """Read what the dead letter was too small for where it stood first."""
        left_out = ", ".join(sorted(letter.omitted))
        record = self.read_back(letter.source)
        if record is None or not letter.is_from(record):
            raise CannotReplay(
                f"it is not whole ({left_out}), and the record at"
                f" {place(letter.source)} is gone"
            )
        return record

    def _insist_on_a_chance(self, record: InboundRecord) -> None:
        """Refuse what would be a dead letter again."""
        most = self.settings.limits.request_max_bytes
        try:
            if is_cancel(record):
                decode_cancel(record, most)
            else:
                decode_request(record, most)
        except AnswerableError:
            return  # now its sender is told
        except CodecError as error:
            advice = (
                "; raise limits.request_max_bytes"
                if error.code is ErrorCode.TOO_LARGE
                else ""
            )
            raise CannotReplay(f"it would come back as {error}{advice}") from None

    def _mark(self, done: Replay) -> "Future[RecordAt] | None":
        if done.to is None or self.sink is None:
            return None
        return self.sink.send(marker_record(done.letter.at, done.to))


def _insist_on_json(record: InboundRecord) -> None:
    try:
        read_object(record.value or b"")
    except CodecError as error:
        raise CannotReplay(
            f"it needs a new correlation_id, and is no JSON object: {error}"
        ) from None


def _acknowledged(replay: Replay, sending: "Future[RecordAt] | None") -> Replay:
    if sending is None:
        return replay
    try:
        return replace(replay, to=sending.result())
    except DeliveryFailed as error:
        return replace(replay, outcome=ReplayOutcome.FAILED, why=str(error))


def _noted(done: Replay, mark: "Future[RecordAt] | None") -> Replay:
    if mark is None:
        return done
    try:
        mark.result()
    except DeliveryFailed as error:
        why = f"it was replayed, but that could not be noted: {error}"
        return replace(done, why=why)
    return done
