"""Runs one request from its doorbell to its published reply; knows no Celery, no HTTP.

The order is sacred: claim -> call -> complete -> publish -> published -> (Celery ack).
Publishing before `complete` would let a worker that lost its lease past the fence.
"""

from collections.abc import Callable
from concurrent.futures import CancelledError
from enum import StrEnum
from uuid import uuid4

from agentsched.config.settings import Settings
from agentsched.errors import (
    CallFailed,
    DeliveryFailed,
    EpochChanged,
    LedgerError,
    LedgerUnavailable,
    NewerFormat,
)
from agentsched.ledger.protocol import Ledger
from agentsched.ledger.values import Claimed, ClaimOutcome, PutBack
from agentsched.protocols import Completer, RecordSink
from agentsched.wire.doorbell import Doorbell
from agentsched.wire.records import RecordAt
from agentsched.wire.replies import reply_record
from agentsched.worker.call import ask
from agentsched.worker.call_loop import CallLoop
from agentsched.worker.call_result import (
    CallResult,
    Job,
    cancelled_result,
    failed_result,
    overdue_result,
)
from agentsched.worker.leases import HeldLease, LeaseBook, Stop
from agentsched.worker.ledger_retry import persist
from agentsched.worker.observer import WorkerObserver
from agentsched.worker.suspects import (
    MAX_CRASHES,
    SUSPECT_CRASHES,
    Crashed,
    Suspects,
)
from agentsched.worker.time_limits import NO_LIMITS, TimeLimits, exceeded, wait_for


class Ended(StrEnum):
    """How the work on one doorbell ended."""

    ANSWERED = "answered"
    """The reply is in Kafka."""
    STORED = "stored"
    """The reply is in the ledger; a bridge sends it to Kafka."""
    STALE = "stale"
    """The doorbell was old, or the ledger is another one now."""
    PUT_BACK = "put_back"
    """The request waits again; no reply."""
    LOST = "lost"
    """Somebody else answered it, or runs it."""
    CANCELLED = "cancelled"
    """Its call was aborted, because somebody cancelled the request."""
    REVOKED = "revoked"
    """Nothing was tried: somebody had cancelled the request before."""
    UNAVAILABLE = "unavailable"
    """Redis did not answer: the lease ends by itself, and the request runs again."""


class Execution:
    """Works on doorbells; `run` may be called by many threads at once."""

    def __init__(  # noqa: PLR0913  (collaborators, made and closed by the caller)
        self,
        settings: Settings,
        ledger: Ledger,
        sink: RecordSink,
        completer: Completer,
        calls: CallLoop,
        leases: LeaseBook,
        suspects: Suspects,
        observer: WorkerObserver | None = None,
    ) -> None:
        """Does nothing yet."""
        self._settings = settings
        self._ledger = ledger
        self._sink = sink
        self._completer = completer
        self._calls = calls
        self._leases = leases
        self._suspects = suspects
        self._clock = leases.clock
        self._observer = observer or WorkerObserver()

    def run(self, doorbell: Doorbell, limits: TimeLimits = NO_LIMITS) -> Ended:
        """Claim, call, hand in and publish; blocks until that is over.

        Raises nothing that an outage can cause. A bug gets out, and leaves the request
        to the end of its lease.

        Args:
            doorbell: what rang.
            limits: how long the call may take, beside the request's deadline.
        """
        # In the book before the claim: a worker that stops must find it there.
        lease = self._leases.hold(doorbell.epoch, doorbell.key, uuid4().hex)
        try:
            ended = self._work(doorbell, lease, limits)
        finally:
            self._leases.release(lease)
        if ended is Ended.STALE:
            self._observer.stale(doorbell)
        self._observer.ended(doorbell, ended)
        return ended

    def _work(self, doorbell: Doorbell, lease: HeldLease, limits: TimeLimits) -> Ended:
        try:
            asked_at = self._clock.now_s()
            claimed = self._claim(doorbell, lease)
            ended = self._obey(claimed, lease, asked_at, limits)
        except EpochChanged:
            return Ended.STALE
        except (LedgerUnavailable, NewerFormat):
            self._observer.abandoned(doorbell)
            return Ended.UNAVAILABLE
        return Ended.CANCELLED if lease.stopped is Stop.CANCELLED else ended

    def _claim(self, doorbell: Doorbell, lease: HeldLease) -> Claimed:
        lease_ms = round(self._settings.timing.lease_s * 1000)
        # The same lease_id again: where the first answer was lost, it comes now.
        return persist(
            lambda: self._ledger.claim(
                lease.epoch, lease.key, doorbell.ring, lease.lease_id, lease_ms
            ),
            lease,
        )

    def _obey(
        self, claimed: Claimed, lease: HeldLease, asked_at: float, limits: TimeLimits
    ) -> Ended:
        match claimed.outcome:
            case ClaimOutcome.STALE:
                return Ended.STALE
            case ClaimOutcome.PUT_BACK:
                return Ended.PUT_BACK
            case ClaimOutcome.OVERDUE if claimed.crashes < SUSPECT_CRASHES:
                job = Job.from_claim(claimed, asked_at)
                return self._hand_in(job, lease, overdue_result(job), fenced=False)
            case ClaimOutcome.OVERDUE:  # a suspect is not read here: its bridge answers
                return Ended.STALE
            case ClaimOutcome.CLAIMED:
                lease.begin()
                return self._start(claimed, lease, asked_at, limits)

    def _start(
        self, claimed: Claimed, lease: HeldLease, asked_at: float, limits: TimeLimits
    ) -> Ended:
        sealed = Job.sealed(claimed, asked_at)
        if self._clock.now_s() - asked_at >= self._settings.timing.lease_s:
            # This process slept: by now somebody else may run it.
            return self._hand_back(sealed, lease)
        if claimed.crashes >= SUSPECT_CRASHES:
            return self._run_alone(claimed, sealed, lease)
        job = Job.from_claim(claimed, asked_at)
        try:
            answer = self._watched(
                job, lambda: self._call_unless_stopped(job, lease, limits)
            )
        except TimeoutError:
            # Its slot stays in use until the lease is over: the call goes on.
            failure = exceeded("hard", limits.hard_s)
            answer = failed_result(job, failure, model_s=limits.hard_s)
            return self._hand_in(job, lease, answer, fenced=False)
        return self._finish(job, lease, answer)

    def _finish(self, job: Job, lease: HeldLease, answer: CallResult | None) -> Ended:
        if answer is None or lease.stopped is Stop.LOST:
            return self._hand_back(job, lease)
        return self._hand_in(job, lease, answer, fenced=True)

    def _watched(
        self, job: Job, call: Callable[[], CallResult | None]
    ) -> CallResult | None:
        self._observer.claimed(job)
        try:
            answer = call()
        finally:
            self._observer.released(job)
        if answer is not None and answer.outcome.called:
            self._observer.called(job, answer.outcome.model_ms / 1000)
        return answer

    def _call_unless_stopped(
        self, job: Job, lease: HeldLease, limits: TimeLimits
    ) -> CallResult | None:
        match lease.stopped:
            case None:
                return self._call(job, lease, limits)
            case Stop.CANCELLED:
                return cancelled_result(job, model_s=None)
            case _:
                return None

    def _call(
        self, job: Job, lease: HeldLease, limits: TimeLimits
    ) -> CallResult | None:
        """Have the model answer; None when the call was stopped.

        Raises:
            TimeoutError: the call has not ended, although its hard limit is over.
        """
        started = self._clock.now_s()
        if lease.stopped is not None:
            return self._stopped(job, lease, started)
        call = self._calls.start(
            ask(self._settings, self._completer, job, self._clock, limits)
        )
        lease.attach(call)
        try:
            return wait_for(call, limits)
        except CancelledError:
            return self._stopped(job, lease, started)
        except CallFailed as error:  # the hard limit
            return failed_result(job, error, model_s=self._clock.now_s() - started)

    def _stopped(self, job: Job, lease: HeldLease, started: float) -> CallResult | None:
        if lease.stopped is not Stop.CANCELLED:
            return None
        return cancelled_result(job, model_s=self._clock.now_s() - started)

    def _run_alone(self, claimed: Claimed, job: Job, lease: HeldLease) -> Ended:
        """Run a suspect in a process of its own; the request stays sealed in this one."""
        child = self._suspects.take()
        if child is None:
            delay_ms = self._suspects.busy_delay_ms()
            return self._hand_back(job, lease, delay_ms, PutBack.UNSTARTED)
        lease.attach(child)
        time_left_s = job.time_left_s(self._clock.now_s())
        try:
            answer = self._watched(
                job, lambda: self._suspects.run(child, claimed, time_left_s)
            )
        except Crashed as crash:
            self._observer.crashed(job, crash.exit_code)
            return self._hand_back(job, lease, 0, PutBack.CRASHED)
        return self._finish(job, lease, answer)

    def _hand_back(
        self,
        job: Job,
        lease: HeldLease,
        delay_ms: int = 0,
        why: PutBack = PutBack.STOPPED,
    ) -> Ended:
        """Say that the call has ended without an answer, so that its slot is free.

        A lease that was lost is told too: where it was voided (a bridge answered at
        the deadline), this is what frees the slot; else it changes nothing.
        """
        back = persist(
            lambda: self._ledger.put_back(
                lease.epoch, lease.key, lease.lease_id, delay_ms, why, MAX_CRASHES
            ),
            self._leases.unstoppable(),  # this one is stopped: it would end the tries
        )
        if back:
            self._observer.put_back(job)
            return Ended.PUT_BACK
        self._observer.lost(job)
        return Ended.LOST

    def _hand_in(
        self, job: Job, lease: HeldLease, answer: CallResult, *, fenced: bool
    ) -> Ended:
        """Store the reply, then publish it; only the stored one may get to Kafka."""
        won = persist(
            lambda: self._ledger.complete(
                lease.epoch,
                lease.key,
                lease.lease_id if fenced else None,
                answer.value,
                answer.outcome,
            ),
            lease,
            until=job.deadline,
        )
        self._leases.release(lease)  # what is DONE needs no renewal
        if not won:
            self._observer.lost(job)
            return Ended.LOST
        self._observer.answered(job, answer)
        return self._publish(job, lease, answer)

    def _publish(self, job: Job, lease: HeldLease, answer: CallResult) -> Ended:
        """Wait for Kafka; what fails here is left to a bridge, which sends it again."""
        delivery = self._sink.send(
            reply_record(job.facts, answer.value, job.payload_hash)
        )
        try:
            reply_at = delivery.result(self._settings.timing.delivery_timeout_s)
            persist(lambda: self._note_published(job, lease, reply_at), lease)
        except (DeliveryFailed, TimeoutError, LedgerError) as error:
            self._observer.stored(job, error)
            return Ended.STORED
        total_s = job.queued_s + self._clock.now_s() - job.asked_at
        self._observer.published(job, answer, total_s)
        return Ended.ANSWERED

    def _note_published(self, job: Job, lease: HeldLease, reply_at: RecordAt) -> None:
        if not self._ledger.published(lease.epoch, lease.key, reply_at):
            # The ledger has lost the request (it was put back): Kafka has the reply.
            self._ledger.settle(lease.epoch, job.facts.source, job.facts.offset)
