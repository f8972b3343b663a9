"""Runs one request that was taken to its published reply; knows no Celery, no HTTP.

The order is sacred: call -> complete -> publish -> published. Publishing before
`complete` would let a worker that lost its lease past the fence. All of it runs in the
loop of the slots, and nothing blocks.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from agentsched.config.settings import Settings
from agentsched.errors import (
    CallFailed,
    CodecError,
    DeliveryFailed,
    EpochChanged,
    LedgerError,
    LedgerUnavailable,
    NewerFormat,
)
from agentsched.ledger.turns import (
    SUSPECT_CRASHES,
    Completion,
    HandBack,
    Publication,
    Taken,
)
from agentsched.ledger.values import PutBack
from agentsched.protocols import Completer
from agentsched.wire.records import OutboundRecord, RecordAt
from agentsched.wire.replies import reply_record
from agentsched.worker.call import ask
from agentsched.worker.call_result import (
    CallResult,
    Job,
    cancelled_result,
    failed_result,
)
from agentsched.worker.clock import Clock
from agentsched.worker.leases import HeldLease, Stop
from agentsched.worker.observer import WorkerObserver
from agentsched.worker.suspects import (
    MAX_CRASHES,
    Crashed,
    NoChild,
    Suspects,
)
from agentsched.worker.time_limits import NO_LIMITS, TimeLimits, exceeded, wait_for
from agentsched.worker.turns import Step

PATIENCE_S = 3.0
"""How long a step is tried where no deadline says so; a turn under way is longer."""


class Ended(StrEnum):
    """How the work on a request that was taken ended."""

    ANSWERED = "answered"
    """The reply is in Kafka."""
    STORED = "stored"
    """The reply is in the ledger; a bridge sends it to Kafka."""
    STALE = "stale"
    """The ledger is another one now."""
    PUT_BACK = "put_back"
    """The request waits again; no reply."""
    LOST = "lost"
    """Somebody else answered it, or runs it."""
    CANCELLED = "cancelled"
    """Somebody cancelled the request: it was not called, or its call was aborted."""
    UNAVAILABLE = "unavailable"
    """Redis did not answer: the lease ends by itself, and the request runs again."""
    BUG = "bug"
    """An error of ours; the request runs again when its lease is over."""


@dataclass(slots=True, eq=False)
class Run:
    """One request that this process has taken, until it is done with it."""

    taken: Taken
    epoch: str
    lease: HeldLease
    job: Job
    limits: TimeLimits = NO_LIMITS
    answer: CallResult | None = None
    """What the call came to; None: nothing that may be handed in."""
    back: HandBack | None = None
    """How it goes back, where there is no answer."""
    overrun: "asyncio.Task[CallResult] | None" = None
    """A call that goes on after its hard limit: its slot is in use until it ends."""

    @property
    def suspect(self) -> bool:
        """Whether it runs in a process of its own."""
        return self.taken.crashes >= SUSPECT_CRASHES

    def put_back(self, delay_ms: int = 0, why: PutBack = PutBack.STOPPED) -> HandBack:
        """Return the step that gives it back."""
        key, lease_id = self.taken.key, self.taken.lease_id
        return HandBack(key, lease_id, delay_ms, why, MAX_CRASHES)


class Surroundings(Protocol):
    """What a request needs of its process, in the loop."""

    async def do(self, epoch: str, step: Step, until_s: float) -> bool:
        """Have one step done in a turn; raises LedgerError.

        Args:
            epoch: the one that it was taken in.
            step: what.
            until_s: a turn that fails after this time is not followed by another.
        """

    def publish(self, record: OutboundRecord) -> Awaitable[RecordAt]:
        """Send a record; the future raises DeliveryFailed, or TimeoutError."""

    async def settle(self, epoch: str, source: str, offset: int) -> None:
        """Mark an offset as done; raises LedgerError."""


class OnLoop:
    """A task of the loop, as other threads may cancel it."""

    def __init__(self, task: "asyncio.Task[CallResult]") -> None:
        self._task = task
        self._loop = task.get_loop()

    def cancel(self) -> None:
        """Ask it to stop; does not block, and may come too late."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: it has stopped
            self._loop.call_soon_threadsafe(self._task.cancel)


class Execution:
    """Works on requests; all methods belong to the loop."""

    def __init__(  # noqa: PLR0913  (collaborators, made and closed by the caller)
        self,
        settings: Settings,
        surroundings: Surroundings,
        completer: Completer,
        clock: Clock,
        suspects: Suspects,
        observer: WorkerObserver,
        release: Callable[[HeldLease], None],
    ) -> None:
        """Does nothing yet.

        Args:
            settings: endpoints and limits.
            surroundings: ledger and Kafka.
            completer: makes calls.
            clock: this process's.
            suspects: runs those that crashed.
            observer: is told of every step.
            release: strikes a lease out that needs no renewal any more.
        """
        self._settings = settings
        self._outside = surroundings
        self._completer = completer
        self._clock = clock
        self._suspects = suspects
        self._observer = observer
        self._release = release

    async def call(self, run: Run) -> None:
        """Have the model answer; says in `run` what follows. It occupies a slot."""
        run.back = run.put_back()
        self._observer.taken(run.job)
        try:
            await (self._run_alone(run) if run.suspect else self._run_here(run))
        finally:
            self._observer.released(run.job)
        if run.answer is not None and run.answer.outcome.called:
            self._observer.called(run.job, run.answer.outcome.model_ms / 1000)

    async def finish(self, run: Run) -> Ended:
        """Hand in what `call` left, and publish it; needs no slot."""
        try:
            ended = await self._finish(run)
        except EpochChanged:
            self._observer.lost(run.job)
            return Ended.STALE
        except (LedgerUnavailable, NewerFormat):
            self._observer.abandoned(run.job)
            return Ended.UNAVAILABLE
        return Ended.CANCELLED if run.lease.stopped is Stop.CANCELLED else ended

    async def _finish(self, run: Run) -> Ended:
        if run.answer is None or run.lease.stopped is Stop.LOST:
            return await self._hand_back(run)
        return await self._hand_in(run, run.answer)

    async def _run_here(self, run: Run) -> None:
        try:
            run.job = run.job.opened(run.taken.payload)
        except CodecError as error:
            # It would crash every worker in turn, and nobody would hear of it.
            failure = CallFailed(error.code, error.detail, retryable=False)
            run.answer = failed_result(run.job, failure, model_s=None)
            return
        started = self._clock.now_s()
        if _is_stopped(run):
            run.answer = _stopped(run, None)
            return
        call = asyncio.get_running_loop().create_task(
            ask(self._settings, self._completer, run.job, self._clock, run.limits)
        )
        run.lease.attach(OnLoop(call))
        try:
            run.answer = await wait_for(call, run.limits)
        except asyncio.CancelledError:
            if not _is_stopped(run):
                ours = asyncio.current_task()
                if ours is None or ours.cancelling():
                    raise  # the loop ends
                raise RuntimeError("a call was cancelled, and not by us") from None
            run.answer = _stopped(run, self._clock.now_s() - started)
        except CallFailed as error:  # the hard limit
            model_s = self._clock.now_s() - started
            run.answer = failed_result(run.job, error, model_s=model_s)
        except TimeoutError:
            run.overrun = call
            call.add_done_callback(_read)
            failure = exceeded("hard", run.limits.hard_s)
            run.answer = failed_result(run.job, failure, model_s=run.limits.hard_s)

    async def _run_alone(self, run: Run) -> None:
        """Run a suspect in a process of its own; the request stays sealed in this one."""
        time_left_s = run.job.time_left_s(self._clock.now_s())
        try:
            run.answer = await self._suspects.run(
                run.taken, time_left_s, run.lease.attach
            )
        except Crashed as crash:
            self._observer.crashed(run.job, crash.exit_code)
            run.back = run.put_back(0, PutBack.CRASHED)
        except NoChild:
            delay_ms = self._suspects.no_child_delay_ms()
            run.back = run.put_back(delay_ms, PutBack.UNSTARTED)

    async def _hand_back(self, run: Run) -> Ended:
        """Say that the call has ended without an answer, so that its slot is free.

        A lease that was lost is told too: where it was voided (a bridge answered at
        the deadline), this is what frees the slot; else it changes nothing.
        """
        back = await self._outside.do(
            run.epoch, run.back or run.put_back(), self._clock.now_s() + PATIENCE_S
        )
        if back:
            self._observer.put_back(run.job)
            return Ended.PUT_BACK
        self._observer.lost(run.job)
        return Ended.LOST

    async def _hand_in(self, run: Run, answer: CallResult) -> Ended:
        """Store the reply, then publish it; only the stored one may get to Kafka."""
        step = Completion(
            run.taken.key,
            run.taken.lease_id,
            answer.value,
            answer.outcome,
            keeps_slot=run.overrun is not None,
        )
        until_s = max(run.job.deadline, self._clock.now_s() + PATIENCE_S)
        won = await self._outside.do(run.epoch, step, until_s)
        self._release(run.lease)  # what is DONE needs no renewal
        if not won:
            self._observer.lost(run.job)
            return Ended.LOST
        self._observer.answered(run.job, answer)
        return await self._publish(run, answer)

    async def _publish(self, run: Run, answer: CallResult) -> Ended:
        """Await Kafka; what fails here is left to a bridge, which sends it again."""
        job = run.job
        record = reply_record(job.facts, answer.value, job.payload_hash)
        try:
            reply_at = await self._outside.publish(record)
            step = Publication(run.taken.key, reply_at)
            until_s = self._clock.now_s() + PATIENCE_S
            if not await self._outside.do(run.epoch, step, until_s):
                # The ledger has lost the request (it was put back): Kafka has the reply.
                await self._outside.settle(
                    run.epoch, job.facts.source, job.facts.offset
                )
        except (DeliveryFailed, TimeoutError, LedgerError) as error:
            self._observer.stored(job, error)
            return Ended.STORED
        total_s = job.queued_s + self._clock.now_s() - job.asked_at
        self._observer.published(job, answer, total_s)
        return Ended.ANSWERED


def _read(call: "asyncio.Task[CallResult]") -> None:
    """Take note of how a call ended that nobody waits for, else asyncio logs its text."""
    if not call.cancelled():
        call.exception()


def _is_stopped(run: Run) -> bool:
    return run.lease.stopped is not None


def _stopped(run: Run, model_s: float | None) -> CallResult | None:
    if run.lease.stopped is not Stop.CANCELLED:
        return None
    return cancelled_result(run.job, model_s=model_s)
