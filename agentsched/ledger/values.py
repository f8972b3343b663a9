"""The values that ledger steps take and return; no Redis.

Times are integer milliseconds since the Unix epoch by the ledger's own clock
(Redis TIME), except where a name says otherwise.
"""

from dataclasses import dataclass
from enum import StrEnum

from agentsched.wire.epoch import EpochCounter
from agentsched.wire.records import RecordAt
from agentsched.wire.request_facts import RequestFacts

START_OF_LOG = "0-0"
"""The place before the first entry of the change log."""
CHANGES_KEPT = 100_000
"""Entries of the change log; the scripts are given the same number."""


def log_position(at: str) -> tuple[int, int]:
    """Return a place in the change log, `MILLISECONDS-NUMBER`, so that it compares."""
    milliseconds, _, number = at.partition("-")
    return int(milliseconds or 0), int(number or 0)


class State(StrEnum):
    """Where an admitted request is; a request that is only in Kafka has no state."""

    READY = "ready"
    """May start (from `not_before_ms` on), as soon as it is listed."""
    RUNNING = "running"
    """A worker holds the lease."""
    DONE = "done"
    """The reply is stored and not yet known to be in Kafka."""
    ANSWERED = "answered"
    """The reply is in Kafka; what remains is a tombstone against duplicates."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer of `beat`."""

    pulse: EpochCounter
    age_ms: int
    """Since the epoch began."""
    fresh: bool
    """The epoch began because there was none: no step ran on an older state before."""


@dataclass(frozen=True, slots=True)
class Admission:
    """One request that a bridge wants in the ready set."""

    facts: RequestFacts
    payload: bytes
    """The record's value as it was on Kafka."""
    payload_hash: str
    """32 hex digits of the value bytes."""
    reply: bytes = b""
    """Given: the request is answered with this at once and never runs."""


class AdmitOutcome(StrEnum):
    """What `admit` found."""

    NEW = "new"
    """Not known before; it is READY now, or DONE where it came with its reply."""
    SAME = "same"
    """The same record again (a replay): nothing changed, `state` says where it is."""
    ATTACHED = "attached"
    """The agent sent it twice: this offset is settled by the one reply too."""
    STORED = "stored"
    """The agent sent it twice, and the reply is stored: it may be in Kafka by now, where
    whoever sent this one does not see it. Nothing changed; once answered it is REPEATED."""
    REPEATED = "repeated"
    """The agent sent it again after the answer: `reply_at` says where the reply is."""
    CONFLICT = "conflict"
    """Another payload already has this identity."""
    CANCELLED = "cancelled"
    """Somebody cancelled it before it was admitted: it has to be answered so."""
    FULL = "full"
    """The ready set has no room: try later."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The answer of `admit` for one request."""

    outcome: AdmitOutcome
    state: State | None = None
    """The entry's state after the step; None where nothing is stored."""
    reply_at: RecordAt | None = None
    """Only with REPEATED."""


class Ending(StrEnum):
    """Why an unanswered request has to end without a call; its bridge answers it."""

    CANCELLED = "cancelled"
    POISON = "poison"
    """It ended the process that ran it alone, too often."""


class PutBack(StrEnum):
    """Why a worker gives a request back."""

    STOPPED = "stopped"
    """The worker goes, or its lease is lost; nothing is counted."""
    UNSTARTED = "unstarted"
    """It was not started after all: the start does not count."""
    CRASHED = "crashed"
    """It ended the process that ran it alone: that is counted."""


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What a worker hands to `complete` beside the reply: facts for the statistics."""

    ok: bool
    model_ms: int = 0
    """Duration of the call; 0 when none was made."""
    called: bool = True
    """False when the reply was given without a call."""


@dataclass(frozen=True, slots=True)
class StoredReply:
    """A reply that is stored and may have to be sent (again)."""

    facts: RequestFacts
    value: bytes
    payload_hash: str
    """Of the request's value, 32 hex digits."""


@dataclass(frozen=True, slots=True)
class EntryView:
    """What the reconciler sees of one entry."""

    state: State
    since_ms: int
    """Age of the state, in milliseconds."""
    lease_left_ms: int = 0
    """RUNNING only; 0 or less: the lease is over."""
    model: str = ""
    """RUNNING: where."""
    overdue_ms: int = 0
    """How long the deadline has passed; 0 or less: not yet."""
    ending: "Ending | None" = None
    """Why it has to end without a call."""
    payload_hash: str = ""
    """As much of it as a tombstone keeps, 16 hex digits; empty: not known."""
    attempts: int = 0
    """How often a worker has started it; 0 once it is ANSWERED."""
    turn: int = 0
    """How often it was taken, starts that did not count too; 0 once it is ANSWERED."""

    def has_payload(self, payload_hash: str) -> bool:
        """Whether it is an entry of this payload, not of another one with its identity.

        Args:
            payload_hash: of the record, in hex.
        """
        return payload_hash.startswith(self.payload_hash)


@dataclass(frozen=True, slots=True)
class ReadyEntry:
    """One entry of the ready set, as the dispatcher sees it."""

    facts: RequestFacts
    not_before_ms: int = 0
    turn: int = 0
    """How often it was taken."""
    payload_hash: str = ""
    """Of its value, 32 hex digits."""
    crashes: int = 0
    """How often its lease has run out."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Capacity in use: one request that is RUNNING, or whose lease was voided."""

    key: str
    model: str
    endpoint: str
    cls: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a dispatcher needs, read at one moment."""

    cursor: str
    """Where to go on with `changes`."""
    now_ms: int
    ready: tuple[ReadyEntry, ...]
    slots: tuple[Slot, ...]


class ChangeKind(StrEnum):
    """What happened to an entry."""

    READY = "ready"
    """It entered the ready set (or again): `ready` is set."""
    LEFT = "left"
    """It left the ready set and was not taken (withdrawn, or completed)."""
    TAKEN = "taken"
    """It is RUNNING: it left the ready set and `slot` is in use."""
    FREED = "freed"
    """Its slot is free again."""
    ENDING = "ending"
    """The request has to end without a call: its bridge has to answer it."""
    SETTLED = "settled"
    """The offset (`source`, `offset`) is answered."""
    ORDERS = "orders"
    """A control, the limits or the questions changed (`Operations.orders`)."""
    GONE = "gone"
    """In no log: its reader finds that the entry `at`, which was read, is not there any
    more."""


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the change log; a hint: it may be missed, never wrong."""

    kind: ChangeKind
    at: str = ""
    """Its place in the log, `MILLISECONDS-NUMBER` as in `Snapshot.cursor`: a reader that
    took a snapshot skips what is not after it. What one step changed has one place."""
    key: str = ""
    ready: ReadyEntry | None = None
    slot: Slot | None = None
    source: str = ""
    offset: int = -1


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that the steps enforce; one revision for all processes."""

    capacity: dict[tuple[str, str], int]
    """(model, endpoint) -> requests in flight."""
    max_in_flight: int = 0
    """Over all models; 0: no limit but the capacities."""
    ready_max_entries: int = 2000
    """READY ones, over all bridges."""
    horizon_s: int = 3600
    """How long an answered request is remembered against duplicates."""


@dataclass(frozen=True, slots=True)
class PartitionView:
    """What the ledger knows of one partition, for the bridge that takes it over."""

    done: tuple[range, ...]
    """Runs of answered offsets at or above the watermark asked for, in order."""
    live: dict[int, str]
    """offset -> request key of what is admitted and unanswered."""
    watermark: int = 0
    """The last acknowledged one that the ledger was told of."""


@dataclass(frozen=True, slots=True)
class ModelTotals:
    """What a model has done since the epoch began."""

    in_flight: int
    calls: int
    failed: int
    model_ms: int
    """Sum over all calls."""
