"""What the core asks for; `bridge/effects/` does it and answers with events."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from agentsched.ledger.bridge_reports import BridgeReport, IndexAnswer
from agentsched.ledger.turns import Plan
from agentsched.ledger.values import Admission
from agentsched.wire.doorbell import Doorbell
from agentsched.wire.epoch import EpochCounter
from agentsched.wire.records import OutboundRecord, Partition, RecordAt
from agentsched.wire.request_facts import RequestFacts


@dataclass(frozen=True, slots=True)
class LoadPartition:
    """Read the bitmap and the live entries of a partition -> PartitionLoaded."""

    source: str
    start: int
    end: int
    answered: tuple[range, ...] = ()
    """What Kafka knows of: these entries are not open, whatever Redis says; in order."""


@dataclass(frozen=True, slots=True)
class Admit:
    """Put requests into the ready set -> AdmitAnswered."""

    admissions: tuple[Admission, ...]


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take entries out of the ready set -> WithdrawAnswered."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlanStarts:
    """Replace the lists of what may start -> Planned."""

    plan: Plan
    """Its `dispatcher_id` is left to who carries it out: it names the bridge."""


@dataclass(frozen=True, slots=True)
class Ring:
    """Send doorbells.

    One may be lost: while a slot waits and something is listed, the dispatcher rings again.
    """

    doorbells: tuple[Doorbell, ...]
    again: tuple[tuple[str, int], ...] = ()
    """How many of them ring once more for what a doorbell named before, by model."""


@dataclass(frozen=True, slots=True)
class Expire:
    """Return a request to READY whose lease is over."""

    key: str


@dataclass(frozen=True, slots=True)
class Inspect:
    """Look at entries -> Inspected."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SendStored:
    """Publish the stored reply of a DONE request, then mark it published."""

    key: str


@dataclass(frozen=True, slots=True)
class EndRequest:
    """Complete a request without a lease, and publish that reply."""

    facts: RequestFacts
    value: bytes


@dataclass(frozen=True, slots=True)
class BuryPoison:
    """Publish a dead letter, and once Kafka has it answer the request without a lease."""

    dead_letter: OutboundRecord = field(hash=False)  # its headers are a mapping
    facts: RequestFacts
    value: bytes


@dataclass(frozen=True, slots=True)
class PublishRefusal:
    """Publish a dead letter or refusal, settle the offset -> OffsetSettled."""

    record: OutboundRecord
    source: str
    offset: int
    conflict: OutboundRecord | None = None
    """Published first: who waits for a reply is told of the conflict. Kafka has to have
    both before the offset is settled."""


@dataclass(frozen=True, slots=True)
class SendRepeat:
    """Read a published reply back and send it again -> OffsetSettled."""

    reply_at: RecordAt
    facts: RequestFacts
    expired: OutboundRecord
    """What is sent when Kafka no longer has the reply."""
    payload_hash: str
    """Of the request's value: a reply to another one is not sent."""

    @property
    def source(self) -> str:
        """The ledger's name of the partition."""
        return self.facts.source

    @property
    def offset(self) -> int:
        """The offset that it settles."""
        return self.facts.offset


@dataclass(frozen=True, slots=True)
class Cancel:
    """Mark a request as cancelled, settle the record that said so -> OffsetSettled."""

    key: str
    keep_s: int
    """How long the wish is kept for a request that is not known yet."""
    source: str
    offset: int


@dataclass(frozen=True, slots=True)
class RestoreDone:
    """Tell the ledger of offsets that are answered, after it has lost its data."""

    source: str
    runs: tuple[range, ...]


class OffsetRange(NamedTuple):
    """Offsets of one partition."""

    source: str
    start: int
    end: int
    """Exclusive."""


@dataclass(frozen=True, slots=True)
class LookUpReplies:
    """Look for replies and dead letters of some offsets -> LookedUp or LookUpFailed."""

    epoch: str
    """In which it is asked."""
    wanted: tuple[OffsetRange, ...]
    since_ms: int
    """None was written before this time of Kafka."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Commit a watermark -> Committed, or CommitRefused."""

    partition: Partition
    offset: int
    metadata: str
    """What is known beside it, written by `agentsched.wire.commit_state`."""


class Alarm(StrEnum):
    """What should not happen, and what a person has to look into."""

    RECORDS_DELETED = "records_deleted"
    """Kafka has deleted records that nobody had answered."""
    OFFSETS_EXPIRED = "offsets_expired"
    """Kafka has forgotten the group's committed offset; the ledger knew it."""
    LOG_TRUNCATED = "log_truncated"
    """The partition ends below what was committed: Kafka lost what it acknowledged."""


@dataclass(frozen=True, slots=True)
class RaiseAlarm:
    """Tell people."""

    alarm: Alarm
    partition: Partition
    records: int
    """How many are concerned."""
    start: int
    """The offset from which records are read."""


@dataclass(frozen=True, slots=True)
class ForgetDone:
    """Drop bitmap blocks below an acknowledged watermark, and write it to the ledger."""

    source: str
    watermark: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Read no more from these partitions for now."""

    partitions: tuple[Partition, ...]


@dataclass(frozen=True, slots=True)
class Resume:
    """Read on."""

    partitions: tuple[Partition, ...]


@dataclass(frozen=True, slots=True)
class BeatEpoch:
    """Raise the counter of the epoch -> EpochBeaten, or EpochOpened after a loss."""

    known: EpochCounter
    """The highest that was seen."""
    last_change: str
    """Where the last change of this epoch stood that was seen."""


@dataclass(frozen=True, slots=True)
class MeetPeers:
    """Beat, take or renew the dispatcher lease, count live slots -> PeersSeen."""

    lead: bool
    """False: give the lease up."""


@dataclass(frozen=True, slots=True)
class ReadOrders:
    """Read what operators ordered and ask -> OrdersSeen."""


@dataclass(frozen=True, slots=True)
class CountCalls:
    """Read how many calls of each model have ended -> CallsCounted."""


@dataclass(frozen=True, slots=True)
class Report:
    """Say what this bridge knows."""

    report: BridgeReport


@dataclass(frozen=True, slots=True)
class AnswerQuestion:
    """Answer an operator's question."""

    question_id: str
    findings: IndexAnswer


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Read the ready set and the slots -> Synced."""


Command = (
    LoadPartition
    | Admit
    | Withdraw
    | PlanStarts
    | Ring
    | Expire
    | Inspect
    | SendStored
    | EndRequest
    | BuryPoison
    | PublishRefusal
    | SendRepeat
    | Cancel
    | RestoreDone
    | LookUpReplies
    | Commit
    | RaiseAlarm
    | ForgetDone
    | Pause
    | Resume
    | BeatEpoch
    | MeetPeers
    | ReadOrders
    | CountCalls
    | Report
    | AnswerQuestion
    | TakeSnapshot
)
