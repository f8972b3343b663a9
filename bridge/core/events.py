"""What the core is told: everything that happened outside, with the time of it.

`now_ms` is milliseconds since the Unix epoch by the bridge's clock; it orders
nothing between processes.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agentsched.ledger import turns
from agentsched.ledger.bridge_reports import Question
from agentsched.ledger.operator_orders import Controls
from agentsched.ledger.values import (
    Admitted,
    Change,
    EntryView,
    PartitionView,
    Snapshot,
)
from agentsched.wire.commit_state import CommitState
from agentsched.wire.epoch import EpochCounter
from agentsched.wire.records import InboundRecord, Partition
from bridge.core.commands import (
    Cancel,
    LookUpReplies,
    PlanStarts,
    PublishRefusal,
    RestoreDone,
    SendRepeat,
)
from bridge.core.rules import Rules

Settling = PublishRefusal | SendRepeat | Cancel | RestoreDone
"""Commands that settle offsets by themselves."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """This bridge reads a partition from now on."""

    partition: Partition
    source: str
    start: int
    """The first offset that will be read: the committed watermark."""
    end: int
    """The offset after the last record that is there now."""
    committed: int | None = None
    """What the group has committed; None: nothing, or Kafka has forgotten it."""
    inherited_state: CommitState | None = None
    """What is committed beside it, of this very topic."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """This bridge no longer owns a partition."""

    source: str


@dataclass(frozen=True, slots=True)
class PartitionLoaded:
    """What the ledger knows of a partition that was assigned."""

    source: str
    view: PartitionView


@dataclass(frozen=True, slots=True)
class Read:
    """Records of partitions that this bridge owns, in the order of their offsets."""

    records: tuple[InboundRecord, ...]
    now_ms: int


@dataclass(frozen=True, slots=True)
class AdmitAnswered:
    """The ledger answered `Admit`: one answer for each request, in its order."""

    places: tuple[tuple[str, int], ...]
    """(source, offset): a key alone may stand at several offsets."""
    answers: tuple[Admitted, ...]
    now_ms: int


@dataclass(frozen=True, slots=True)
class WithdrawAnswered:
    """The ledger answered `Withdraw`: True where the entry is gone."""

    keys: tuple[str, ...]
    gone: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """The ledger answered `PlanStarts`."""

    command: PlanStarts
    answer: turns.Planned | None
    """None: Redis did not answer; it may be in force all the same."""
    now_ms: int


@dataclass(frozen=True, slots=True)
class Inspected:
    """The ledger's view of some entries of ours."""

    keys: tuple[str, ...]
    views: tuple[EntryView | None, ...]
    now_ms: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A piece of the ledger's change log."""

    changes: tuple[Change, ...]
    now_ms: int
    epoch: str = ""
    """Of which epoch; empty: of the one that is open."""


@dataclass(frozen=True, slots=True)
class Synced:
    """A fresh snapshot for the dispatcher."""

    snapshot: Snapshot
    now_ms: int


@dataclass(frozen=True, slots=True)
class PeersSeen:
    """Who else is there, and whether this bridge is the dispatcher."""

    bridges: int
    leading: bool
    live_slots: Mapping[str, int]
    now_ms: int
    ledger_ahead_ms: int | None = None
    """The ledger's clock less the bridge's; None: not known now."""


@dataclass(frozen=True, slots=True)
class OrdersSeen:
    """What operators ordered, and what they ask this bridge."""

    controls: Controls
    questions: tuple[Question, ...]
    now_ms: int
    revision: int = 0
    """Of limits and orders: the one that was in force when they were read."""


@dataclass(frozen=True, slots=True)
class CallsCounted:
    """How many calls of each model have ended since the epoch began."""

    calls: Mapping[str, int]
    now_ms: int


@dataclass(frozen=True, slots=True)
class OffsetSettled:
    """What settles an offset is done: a dead letter or reply is in Kafka, say."""

    source: str
    offset: int


@dataclass(frozen=True, slots=True)
class SettleFailed:
    """It could not be delivered; it has to be tried again."""

    command: Settling


@dataclass(frozen=True, slots=True)
class Committed:
    """Kafka acknowledged a commit."""

    partition: Partition
    offset: int


@dataclass(frozen=True, slots=True)
class CommitRefused:
    """The broker takes only shorter metadata beside an offset."""

    partition: Partition


@dataclass(frozen=True, slots=True)
class RecordsDeleted:
    """Records were deleted before they could be read; reading goes on at `start`."""

    partition: Partition
    start: int


@dataclass(frozen=True, slots=True)
class EpochOpened:
    """Redis was lost, emptied or put back: another epoch has begun."""

    epoch: str
    beats: int = 0
    age_ms: int = 0
    """How long ago it began."""
    fresh: bool = False
    """There was none: no step ran on an older state before."""
    now_ms: int = 0


@dataclass(frozen=True, slots=True)
class EpochBeaten:
    """The counter of this epoch was raised: nothing of it was lost."""

    pulse: EpochCounter


@dataclass(frozen=True, slots=True)
class LookedUp:
    """Which of the wanted offsets have a reply or a dead letter in Kafka."""

    command: LookUpReplies
    found: Mapping[str, Collection[int]]
    """By source."""
    now_ms: int


@dataclass(frozen=True, slots=True)
class LookUpFailed:
    """Kafka could not be asked."""

    command: LookUpReplies
    detail: str = ""
    """Why, for people."""


@dataclass(frozen=True, slots=True)
class RulesChanged:
    """The configuration was read again."""

    rules: Rules


@dataclass(frozen=True, slots=True)
class DrainStarted:
    """The bridge is about to stop: nothing new is admitted or listed."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""

    now_ms: int


@dataclass(frozen=True, slots=True)
class Round:
    """All that had come was taken: what follows from it is decided now, once.

    It is fed at the end of each turn of the loop.
    """

    now_ms: int


Event = (
    Assigned
    | Revoked
    | PartitionLoaded
    | Read
    | AdmitAnswered
    | WithdrawAnswered
    | Planned
    | Inspected
    | Changed
    | Synced
    | PeersSeen
    | OrdersSeen
    | CallsCounted
    | OffsetSettled
    | SettleFailed
    | Committed
    | CommitRefused
    | RecordsDeleted
    | EpochOpened
    | EpochBeaten
    | LookedUp
    | LookUpFailed
    | RulesChanged
    | DrainStarted
    | Tick
    | Round
)
