"""All slots of a worker process, in one asyncio loop: they take, call, hand in.

What goes into a turn is decided by `Turns`, what happens to one request by `Execution`;
this runs them. It starts no thread and reads no clock but the one that it is given.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

from agentsched.config.settings import Settings
from agentsched.errors import EpochChanged, LedgerUnavailable, NewerFormat
from agentsched.ledger.protocol import Ledger
from agentsched.ledger.turns import HandBack, Publication, Taken, TurnAnswer
from agentsched.ledger.values import PutBack
from agentsched.protocols import Completer, RecordSink
from agentsched.telemetry.events import BUG
from agentsched.telemetry.logs import say, where
from agentsched.wire.doorbell import Doorbell
from agentsched.wire.records import OutboundRecord, RecordAt
from agentsched.worker.call_result import Job
from agentsched.worker.execution import PATIENCE_S, Ended, Execution, Run
from agentsched.worker.leases import LeaseBook, Stop
from agentsched.worker.observer import WorkerObserver
from agentsched.worker.suspects import AT_ONCE, MAX_CRASHES, Suspects
from agentsched.worker.task_view import TaskView
from agentsched.worker.turns import Acknowledge, Room, Sent, Step, Turns, Wish

BEAT_S = 1.0
"""How often the loop shows that it turns, at least."""
LINGER_S = 0.005
"""How long what Kafka has acknowledged waits for company."""
BUG_DELAY_MS = 1000
"""After it, what could not be started for an error of ours may be taken again."""
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0


class Slots:
    """Runs requests as they come; `run` is awaited once.

    `ring`, `open_epoch`, `resized`, `leave`, `parked`, `waiting` and `turned_s` are for all
    threads, also before it runs, and do not block. All else belongs to the loop.
    """

    def __init__(  # noqa: PLR0913  (collaborators, made and closed by the caller)
        self,
        settings: Settings,
        ledger: Ledger,
        sink: RecordSink,
        completer: Completer,
        leases: LeaseBook,
        suspects: Suspects,
        worker_id: str,
        models: Sequence[str],
        limit: Callable[[], int],
        observer: WorkerObserver,
        executor: Executor,
        tasks: TaskView | None = None,
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        """Does nothing yet.

        Args:
            settings: endpoints, limits and timing.
            ledger: its steps are called in `executor`.
            sink: takes replies.
            completer: makes calls, in the loop.
            leases: what is held here.
            suspects: runs those that crashed.
            worker_id: this incarnation of the process, as its heartbeat names it.
            models: what it may take.
            limit: how many slots there are, now.
            observer: is told of every step.
            executor: has one thread: one step of the ledger is under way.
            tasks: what Celery shows.
            give_up: asks this process to end, see `Heartbeat`; called in the loop.
        """
        self._settings = settings
        self._ledger = ledger
        self._sink = sink
        self._leases = leases
        self._clock = leases.clock
        self._limit = limit
        self._executor = executor
        self._observer = observer
        self._tasks = tasks or TaskView()
        self._give_up = give_up
        timing = settings.timing
        self._turns = Turns(worker_id, models, timing.lease_s, timing.renew_s)
        self._execution = Execution(
            settings, self, completer, self._clock, suspects, observer, leases.release
        )
        self._works: set[asyncio.Task[None]] = set()
        self._running = self._suspects = self._undelivered = 0
        self._leaving = self._runs = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wanted = asyncio.Event()
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._woken = False
        self._probe: asyncio.TimerHandle | None = None
        self._pause_s = FIRST_PAUSE_S
        self.turned_s = self._clock.now_s()
        """When the loop has turned last, by the process's clock."""

    # -- for all threads ----------------------------------------------------------------

    def ring(self, doorbell: Doorbell, acknowledge: Acknowledge) -> None:
        """Wake a free slot.

        Args:
            doorbell: what rang.
            acknowledge: called in the loop, when the slot took something or waits again.
        """
        self._post(self._ring, doorbell, acknowledge)

    def open_epoch(self, epoch: str) -> None:
        """A heartbeat got through, and the ledger named its epoch; "": it has none."""
        self._post(self._turns.beaten, epoch)

    def resized(self) -> None:
        """There may be more slots than before."""
        self._post(self._turns.ask)

    def leave(self) -> None:
        """Take nothing more; `run` ends when all that runs has ended."""
        self._post(self._leave)

    def parked(self) -> int:
        """How many slots could take something now."""
        return self._room().slots

    def waiting(self) -> int:
        """How many of them need a doorbell: nothing was listed for them."""
        return self._room().slots if self._turns.short else 0

    # -- in the loop --------------------------------------------------------------------

    async def run(self) -> None:
        """Take and run requests until `leave`; an error of ours ends the process."""
        self._loop = asyncio.get_running_loop()
        self._runs = True
        try:
            self._beat()
            self._take_inbox()
            await self._go_on()
        except Exception as error:
            _say_bug(error)
            self._give_up()
            raise
        finally:
            self._runs = False

    async def _go_on(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await asyncio.sleep(
                0
            )  # what else is ready in this turn of the loop goes along
            sent = self._turns.next(self._clock.now_s(), self._room())
            if sent is not None:
                await self._send(sent)
                self._wanted.set()
            elif self._leaving and not self._works:
                if not self._turns.part():
                    return
                self._wanted.set()

    async def do(self, epoch: str, step: Step, until_s: float) -> bool:
        """See `Surroundings`."""
        answer: asyncio.Future[bool] = self._running_loop().create_future()
        self._turns.add(Wish(epoch, step, until_s, lambda done: _settle(answer, done)))
        if isinstance(step, Publication) and not self._leaving:
            # Nobody waits for it: it goes along with what is next, mostly.
            self._running_loop().call_later(LINGER_S, self._wanted.set)
        else:
            self._wanted.set()
        return await answer

    def publish(self, record: OutboundRecord) -> "asyncio.Future[RecordAt]":
        """See `Surroundings`."""
        loop = self._running_loop()
        sent: asyncio.Future[RecordAt] = loop.create_future()

        def delivered(delivery: "Future[RecordAt]") -> None:
            self._post(_settle, sent, delivery.exception() or delivery.result())

        timeout_s = self._settings.timing.delivery_timeout_s
        timer = loop.call_later(timeout_s, _settle, sent, TimeoutError())
        sent.add_done_callback(lambda _: timer.cancel())
        sent.add_done_callback(self._delivered)
        self._sink.send(record).add_done_callback(delivered)
        return sent

    def _delivered(self, sent: "asyncio.Future[RecordAt]") -> None:
        if sent.cancelled():
            return
        if sent.exception() is None:
            self._undelivered = 0
            self._turns.ask()
            self._wanted.set()
        else:
            self._undelivered += 1
            self._plan_probe()

    def _plan_probe(self) -> None:
        """While Kafka takes nothing, one request more may try it now and then."""
        if self._probe is None and self._undelivered:
            after_s = self._settings.timing.delivery_timeout_s
            self._probe = self._running_loop().call_later(after_s, self._let_one_try)

    def _let_one_try(self) -> None:
        self._probe = None
        self._undelivered = max(0, self._undelivered - 1)
        self._plan_probe()
        self._turns.ask()
        self._wanted.set()

    async def settle(self, epoch: str, source: str, offset: int) -> None:
        """See `Surroundings`."""
        await self._running_loop().run_in_executor(
            self._executor, self._ledger.settle, epoch, source, offset
        )

    async def _send(self, sent: Sent) -> None:
        asked_s = self._clock.now_s()  # this time: it may be a repetition
        try:
            answer = await self._running_loop().run_in_executor(
                self._executor, self._ledger.turn, sent.epoch, sent.turn
            )
        except LedgerUnavailable as error:
            closing_s = PATIENCE_S if self._leases.closing else None
            self._turns.unanswered(error, self._clock.now_s(), closing_s)
            await self._pause()
            return
        except EpochChanged as error:
            self._turns.refused(error)
            return
        except NewerFormat as error:
            self._observer.redis.too_old(error)
            self._turns.refused(error)
            self._give_up()
            await self._pause()
            return
        except Exception as error:  # noqa: BLE001  (it would end all slots)
            _say_bug(error)
            self._turns.refused(error)
            await self._pause()
            return
        try:
            self._hear(sent, answer, asked_s)
        except Exception as error:  # noqa: BLE001  (it would end all slots)
            _say_bug(error)
            if self._turns.outstanding is None:
                self._turns.ask()  # what was taken and not seen is put back
            else:
                self._turns.refused(error)
            await self._pause()
        else:
            self._pause_s = FIRST_PAUSE_S

    def _hear(self, sent: Sent, answer: TurnAnswer, asked_s: float) -> None:
        waited = self.waiting()
        for taken in self._turns.answered(answer, self._clock.now_s()):
            try:
                self._start(taken, sent.epoch, asked_s)
            except Exception as error:  # noqa: BLE001  (the others start all the same)
                _say_bug(error)
                self._give_back(taken, sent.epoch)
        self._hush()
        self._observer.turned(self._clock.now_s() - sent.sent_s)
        if self.waiting() and not waited:
            self._tasks.waiting()

    def _give_back(self, taken: Taken, epoch: str) -> None:
        """Have another process run what cannot be started here."""
        back = HandBack(
            taken.key, taken.lease_id, BUG_DELAY_MS, PutBack.UNSTARTED, MAX_CRASHES
        )
        until_s = self._clock.now_s() + PATIENCE_S
        self._turns.add(Wish(epoch, back, until_s, lambda _: None))

    async def _pause(self) -> None:
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    def _start(self, taken: Taken, epoch: str, asked_s: float) -> None:
        job, limits = Job.of(taken, asked_s), self._tasks.limits()
        lease = self._leases.hold(epoch, taken.key, taken.lease_id)
        lease.begin()
        run = Run(taken, epoch, lease, job, limits)
        self._running += 1
        self._suspects += run.suspect
        work = self._running_loop().create_task(self._serve(run))
        self._works.add(work)
        work.add_done_callback(self._served)

    async def _serve(self, run: Run) -> None:
        ended = Ended.BUG
        try:
            try:
                self._tasks.started(run)
                await self._call(run)
            finally:
                self._free(run)
            ended = await self._execution.finish(run)
        except Exception as error:  # noqa: BLE001  (its lease ends, and it runs again)
            _say_bug(error, run)
        finally:
            self._leases.release(run.lease)
            self._observer.ended(run.job, ended)
            self._tasks.ended(run, ended)

    async def _call(self, run: Run) -> None:
        if self._leaving:
            run.back = run.put_back(0, PutBack.UNSTARTED)
            return
        if self._tasks.revoked(run):
            run.lease.stop(Stop.CANCELLED)
        await self._execution.call(run)

    def _free(self, run: Run) -> None:
        if run.overrun is not None:
            run.overrun.add_done_callback(lambda _: self._freed(run))
        else:
            self._freed(run)

    def _freed(self, run: Run) -> None:
        self._running -= 1
        self._suspects -= run.suspect
        self._turns.ask()
        self._wanted.set()

    def _served(self, work: "asyncio.Task[None]") -> None:
        self._works.discard(work)
        self._wanted.set()

    def _room(self) -> Room:
        limit = self._limit()
        # Replies that Kafka does not take fill Redis: twice the slots are enough. Those
        # that it refused lie there until a bridge has sent them.
        unsent = len(self._works) + self._undelivered
        slots = min(limit - self._running, 2 * limit - unsent)
        free = 0 if self._leaving else max(0, slots)
        return Room(free, max(0, AT_ONCE - self._suspects))

    def _ring(self, doorbell: Doorbell, acknowledge: Acknowledge) -> None:
        self._turns.epochs.name(doorbell.epoch, sure=False)
        self._turns.ask(acknowledge)
        self._hush()

    def _hush(self) -> None:
        # Else a doorbell lay here for a whole call. A slot that gets free asks by itself;
        # who leaves gives its doorbells back to the broker.
        if not self._leaving and not self._room().slots:
            self._turns.hush()

    def _leave(self) -> None:
        self._leaving = True

    def _beat(self) -> None:
        if not self._runs:
            return  # nobody takes or hands in: leases shall end
        self.turned_s = self._clock.now_s()
        self._running_loop().call_later(BEAT_S, self._beat)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the slots do not run")
        return self._loop

    def _post(self, call: Callable[..., None], *args: Any) -> None:  # noqa: ANN401
        """Have the loop call something; one wake-up for all that comes together."""
        self._inbox.append((call, args))
        if self._loop is not None and not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._take_inbox)

    def _take_inbox(self) -> None:
        self._woken = False  # first: what comes from now on wakes again
        while self._inbox:
            call, args = self._inbox.popleft()
            try:
                call(*args)
            except Exception as error:  # noqa: BLE001  (the others count all the same)
                _say_bug(error)
        self._wanted.set()


def _settle(future: "asyncio.Future[Any]", outcome: object) -> None:
    if future.done():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _say_bug(error: Exception, run: Run | None = None) -> None:
    # Where and what class; the text may hold a part of a request.
    say(
        BUG,
        error=type(error).__name__,
        where=where(error.__traceback__),
        correlation_id=run.taken.facts.correlation_id if run else None,
    )
