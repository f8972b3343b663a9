"""The contract of the ledger: its steps, what each promises, who calls it.

Every step is atomic. Every step takes the epoch and raises `EpochChanged`
without any effect when Redis has none or another; it raises `LedgerUnavailable`
when Redis did not answer, and may then have happened: repeat it with the same
arguments, the answer is the same. What the table step x state (`docs/delivery.md`)
does not allow is a no-op that says so in its answer.

All methods block for one round trip, and are safe to call from several threads.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from agentsched.ledger.operator_protocol import Operations
from agentsched.ledger.turns import Plan, Planned, Turn, TurnAnswer
from agentsched.ledger.values import (
    Admission,
    Admitted,
    Beat,
    CallOutcome,
    Change,
    EntryView,
    Limits,
    ModelTotals,
    PartitionView,
    PutBack,
    Snapshot,
    State,
    StoredReply,
)
from agentsched.ledger.views import Views
from agentsched.wire.epoch import NO_EPOCH, EpochCounter
from agentsched.wire.records import RecordAt


def always() -> bool:
    """Say yes."""
    return True


class Ledger(Protocol):
    """The states of requests. READY -> RUNNING -> DONE -> ANSWERED."""

    # -- bridge -----------------------------------------------------------------

    def admit(self, epoch: str, admissions: Sequence[Admission]) -> list[Admitted]:
        """Put requests into the ready set, each unless its identity is known.

        The same coordinates (source and offset) again: SAME. Other coordinates with
        the same payload hash: ATTACHED before a reply is stored, STORED while it is not
        known to be in Kafka, else REPEATED. Another hash: CONFLICT. FULL when
        `Limits.ready_max_entries` are READY.
        One that comes with its reply is DONE at once and is never FULL. CANCELLED when
        somebody has cancelled it before: it is not stored, unless it comes with its reply.
        The batch is not one transaction; each request is.
        """

    def withdraw(self, epoch: str, keys: Sequence[str]) -> list[bool]:
        """Forget READY entries (identity too), so that better ones find room.

        Returns, for each key, whether it is gone from the ready set: False when it is in
        another state, has to end, was taken before (its turn and its crashes must not
        be forgotten) or has attached records (whose bridges were told that its
        reply settles them). An unknown key counts as gone.
        """

    def expire(self, epoch: str, key: str) -> bool:
        """RUNNING with a lease that is over -> READY, one crash more; False otherwise."""

    def plan(self, epoch: str, plan: Plan) -> Planned:
        """Replace the lists of pools: what their workers may start, first come first.

        It changes no entry: a listed one stays READY, may stand in several lists (the
        first taker wins) and may be withdrawn. Refused, without any effect, unless the
        dispatcher's lease and the revision are current, the number grows, and the change
        log has (or had) what the dispatcher has seen.
        """

    # -- worker -----------------------------------------------------------------

    def turn(self, epoch: str, turn: Turn) -> TurnAnswer:
        """Do all steps of one worker process: published, complete, put_back, take.

        In this order; each checks before it writes, and fails alone. Then, for each of
        `lease_ids`, the first listed request of all pools of `models` that may start
        becomes RUNNING: READY, with the hash and turn of its member; not ending; its
        deadline ahead, its not-before passed; room in its pool and within `max_in_flight`;
        for a suspect a free child. The list's dispatcher must lead still, and its revision
        be in force. What fails only at child, capacity or limits stays listed, what is
        void is dropped.

        One number is done once: repeated, it returns what is still RUNNING under its
        leases, and the same answers to the other steps. What an earlier number above
        `seen` took is put back first, and its start not counted. Without a heartbeat of
        the process nothing is taken, its other steps are done.
        """

    def renew(
        self, epoch: str, leases: Mapping[str, str], lease_ms: int
    ) -> dict[str, bool]:
        """Extend leases {key: lease_id}; False where the lease is over or another's.

        Who gets False stops its call and hands nothing in.
        """

    def put_back(  # noqa: PLR0913  (a step of the protocol; the values have no other home)
        self,
        epoch: str,
        key: str,
        lease_id: str,
        delay_ms: int = 0,
        why: PutBack = PutBack.STOPPED,
        crashes_most: int = 0,
    ) -> bool:
        """RUNNING under `lease_id` -> READY; its slot is free.

        Args:
            epoch: see the module.
            key: the request.
            lease_id: whose lease.
            delay_ms: it does not start before so much time has passed.
            why: what is counted. No reason counts as a crash in the sense of `expire`.
            crashes_most: with CRASHED: after so many of them it has to end as POISON.
        """

    # -- both -------------------------------------------------------------------

    def complete(
        self,
        epoch: str,
        key: str,
        lease_id: str | None,
        reply: bytes,
        outcome: CallOutcome,
    ) -> bool:
        """Store the reply: -> DONE. First wins; it never changes afterwards.

        With a lease_id: from RUNNING while that lease_id is current, even past its
        expiry; the slot is free then, and also when the lease was voided.
        Without: from READY and RUNNING; a lease is voided, and the slot of a
        RUNNING request stays in use until its holder calls or its lease is over.
        Returns whether this reply is the stored one: True again when the winner
        repeats the step (same lease_id, or None again with the same bytes).
        """

    def reply(self, epoch: str, key: str) -> StoredReply | None:
        """The reply of a DONE request; None in every other state."""

    def published(self, epoch: str, key: str, reply_at: RecordAt) -> bool:
        """DONE -> ANSWERED: Kafka has acknowledged the reply.

        Marks the offsets of the request (all that are attached) as done in the bitmap
        of their sources. Repeated: True again. Only who won `complete` calls it: where
        the entry is READY or RUNNING all the same, Redis has lost the reply that
        Kafka has, and the entry is ANSWERED, too; a lease is voided. False: unknown.
        """

    def cancel(self, epoch: str, key: str, keep_s: int) -> State | None:
        """Have an unanswered request end: its bridge answers it CANCELLED.

        An entry that is not DONE yet is marked: `inspect` shows it; `turn` and `withdraw`
        leave it alone. For an unknown key the wish is kept for `keep_s` seconds: `admit` then says
        CANCELLED. All bridges hear of it through the change log. Returns the state that
        the entry is in; None: unknown. Repeated it changes nothing.
        """

    # -- partitions ---------------------------------------------------------------

    def settle(self, epoch: str, source: str, offset: int) -> None:
        """Mark an offset as done that has no entry: a dead letter, a refusal."""

    def restore_done(self, epoch: str, source: str, runs: Iterable[range]) -> None:
        """Mark offsets as done that a bridge knows to be answered, after a loss."""

    def partition(
        self, epoch: str, source: str, watermark: int, end: int
    ) -> PartitionView:
        """What is known of offsets `watermark` (inclusive) to `end` (exclusive)."""

    def forget_answered(self, epoch: str, source: str, runs: Sequence[range]) -> None:
        """Forget entries that are live at these offsets, and stop their work.

        All of them are answered: the group has committed that, or the partition's
        bridge knows it. So a Redis that was put back unseen has brought them back, or
        a bridge that was paused has admitted them; none reads their records again.

        Args:
            epoch: the open one.
            source: topic, its id and partition.
            runs: of offsets, in order; they do not overlap.
        """

    def forget_done(self, epoch: str, source: str, watermark: int) -> None:
        """Drop bitmap blocks that lie wholly below an acknowledged watermark; note it."""

    def inspect(self, epoch: str, keys: Sequence[str]) -> list[EntryView | None]:
        """The entries as they are now; None where the ledger knows nothing."""

    # -- dispatcher -------------------------------------------------------------

    def snapshot(self, epoch: str) -> Snapshot:
        """The ready set and the slots in use, with the cursor for `changes`."""

    def changes(
        self,
        epoch: str,
        cursor: str,
        block_ms: int,
        limit: int = 1000,
        detailed: Callable[[], bool] = always,
    ) -> tuple[str, list[Change]]:
        """What happened after `cursor`, waiting up to `block_ms` for the first.

        `detailed` is asked when they are there: without entries and slots, which only the
        dispatcher needs, they are read at a quarter of the cost. Who begins to need them
        takes a snapshot afterwards: what came before is in it.

        Unlike the steps it does not check the epoch. Old changes are dropped: take a
        new snapshot now and then. Raises `EpochChanged` instead of going on where the
        entry at `cursor` is gone and was not dropped: Redis was put back.
        """

    def set_limits(self, epoch: str, limits: Limits) -> None:
        """Replace the limits for every process at once; raises the revision."""

    def totals(self, epoch: str) -> dict[str, ModelTotals]:
        """What every model with limits has done, by model name."""


class VoidedLeases(Protocol):
    """Which leases were voided by a `complete` without a lease. For one thread."""

    def take(self, wait_s: float) -> str | None:
        """Return the next lease_id, waiting up to `wait_s`; None: none came.

        A hint: what was voided before the first call, or while Redis was away, is not
        told. Raises `LedgerUnavailable`.
        """

    def close(self) -> None:
        """Let go of the connection; idempotent."""


class Membership(Protocol):
    """Who is there: the epoch, the dispatcher lease, heartbeats of bridges and workers.

    All times run on the ledger's clock. Raises `LedgerUnavailable`.
    """

    def beat(self, known: EpochCounter = NO_EPOCH, last_change: str = "") -> Beat:
        """Raise the counter of the epoch by one; for bridges.

        Who only looks takes `Views.epoch`: an epoch that begins without what Kafka knows
        of the last one looks like a loss, and after that nothing starts for a while.

        Another epoch begins, atomically, when there is none and when Redis shows an
        older state than it must: what the old one knew is void from then on.

        Args:
            known: the highest pulse that the caller saw, or that is written in Kafka.
            last_change: where the last change of `known.epoch` stands in the change log
                that the caller got.
        """

    def drop_older(self, epoch: str) -> None:
        """Drop what older epochs left behind. Blocks for many round trips."""

    def now_ms(self) -> int:
        """The ledger's clock: milliseconds since the Unix epoch."""

    def lead(self, dispatcher_id: str, ttl_ms: int) -> bool:
        """Take or renew the dispatcher lease; False while another id holds it."""

    def resign(self, dispatcher_id: str) -> None:
        """Give the dispatcher lease up, if it is this id's."""

    def beat_bridge(self, bridge_id: str, ttl_ms: int) -> int:
        """Say that a bridge lives; returns how many do."""

    def leave_bridge(self, bridge_id: str) -> None:
        """Say that a bridge has gone."""

    def beat_worker(
        self,
        worker_id: str,
        slots: Mapping[str, int],
        ttl_ms: int,
        http: str = "",
        parked: int = 0,
    ) -> str:
        """Say that a worker process lives; returns the epoch, "" where there is none.

        Args:
            worker_id: names it.
            slots: requests that it can run at once, per model.
            ttl_ms: how long that counts.
            http: `host:port` where it shows metrics and health; empty: nowhere.
            parked: its slots that are free and wait for a doorbell.
        """

    def leave_worker(self, worker_id: str) -> None:
        """Say that a worker process takes no more work.

        Its last turn is remembered for a while, as after a heartbeat that is over: a turn
        of it has put back what the one before took whose answer was lost.
        """

    def live_slots(self) -> dict[str, int]:
        """Slots per model over all live workers."""


class WholeLedger(Ledger, Protocol):
    """The ledger with all that meets there beside the steps of requests."""

    @property
    def membership(self) -> Membership:
        """Epoch, dispatcher lease, heartbeats."""

    @property
    def operations(self) -> Operations:
        """Orders, reports and questions."""

    @property
    def views(self) -> Views:
        """What operators may look at."""
