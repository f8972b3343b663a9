"""What operators may look at in the ledger: pools, workers, one request; it changes nothing.

All methods block for one round trip and raise `LedgerUnavailable`; those that take the
epoch raise `EpochChanged` like the steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from agentsched.ledger.values import Ending, State
from agentsched.wire.records import RecordAt
from agentsched.wire.request_facts import RequestFacts


@dataclass(frozen=True, slots=True)
class Pool:
    """The capacity of one model at one endpoint, as the steps enforce it."""

    model: str
    endpoint: str
    in_flight: int
    """Slots in use: running, or until the end of a voided lease."""
    capacity: int


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A worker process that beats."""

    worker_id: str
    """`NAME@HOST/RANDOM`."""
    slots: Mapping[str, int]
    """Per model."""
    http: str = ""
    """`host:port` of its metrics and health; empty: nowhere."""


@dataclass(frozen=True, slots=True)
class Description:
    """One request, as the ledger knows it; no payload and no reply."""

    state: State
    since_ms: int
    """Age of the state, in milliseconds."""
    facts: RequestFacts | None = None
    """None with ANSWERED: only the place of the reply is kept."""
    model: str = ""
    endpoint: str = ""
    """Where it runs; RUNNING."""
    attempts: int = 0
    """How often a worker started it."""
    crashes: int = 0
    """How often its lease ended without a word."""
    lease_left_ms: int = 0
    """RUNNING: 0 or less: the lease is over."""
    not_before_ms: int = 0
    """READY: milliseconds until it may start; 0: now."""
    deadline_left_ms: int = 0
    """0 or less: the deadline has passed."""
    ending: Ending | None = None
    """Why it has to end without a call, if it has to."""
    reply_at: RecordAt | None = None
    """ANSWERED: where the reply is."""


class Views(Protocol):
    """The ledger, for looking only."""

    def epoch(self) -> str | None:
        """The epoch; None when there is none, and none is made."""

    def pools(self, epoch: str) -> list[Pool]:
        """All pools that have a limit, by model and endpoint."""

    def workers(self) -> list[LiveWorker]:
        """All live workers, by id."""

    def describe(self, epoch: str, key: str) -> Description | None:
        """One request; None where the ledger knows nothing of it."""
