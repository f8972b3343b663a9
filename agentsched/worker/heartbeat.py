"""One thread per worker process that keeps its heartbeat and its leases alive.

It also leads the way out: it says at once that the worker leaves, and puts back what
still runs when the time to drain is over. It takes and answers nothing.
"""

import threading
from collections.abc import Callable, Mapping
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

from agentsched.config.settings import TimingSettings
from agentsched.errors import EpochChanged, LedgerError, NewerFormat
from agentsched.ledger.protocol import WholeLedger
from agentsched.worker.leases import HeldLease, LeaseBook, Stop
from agentsched.worker.observer import WorkerObserver

BEAT_S = 1.0
NEVER = float("inf")


class Served(Protocol):
    """The slots for which a keeper speaks; all of it is for its thread, and never blocks."""

    turned_s: float
    """When their loop has turned last."""

    def open_epoch(self, epoch: str) -> None:
        """A heartbeat got through; it named this epoch, or ""."""

    def parked(self) -> int:
        """How many slots are free."""

    def leave(self) -> None:
        """Take nothing more."""


class Heartbeat:
    """Beats every second and renews every `timing.renew_s`, until it is stopped."""

    def __init__(  # noqa: PLR0913  (collaborators; the last three have defaults)
        self,
        ledger: WholeLedger,
        leases: LeaseBook,
        timing: TimingSettings,
        worker_id: str,
        slots: Callable[[], Mapping[str, int]],
        served: Served,
        observer: WorkerObserver | None = None,
        http: str = "",
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        """Starts nothing.

        Args:
            ledger: where to.
            leases: what to renew.
            timing: how often.
            worker_id: names this process among all workers.
            slots: requests that this process can run at once, per model, now.
            served: the slots themselves.
            observer: is told of every turn.
            http: `host:port` where this process shows metrics and health.
            give_up: asks this process to end, because a newer version wrote what it
                cannot read; called again and again, in the keeper's thread.
        """
        self._ledger = ledger
        self._leases = leases
        self._clock = leases.clock
        self._timing = timing
        self._worker_id = worker_id
        self._slots = slots
        self._served = served
        self._observer = observer or WorkerObserver()
        self._http = http
        self._give_up = give_up
        # Its `put` may be called in a signal handler, which an Event's `set` may not.
        self._orders: SimpleQueue[float | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._next_beat = self._next_renewal = 0.0
        self._put_back_at = NEVER

    def start(self) -> None:
        """Start the thread; call it once."""
        self._thread.start()

    def leave(self, drain_s: float) -> None:
        """Take no more work, and put back what still runs after `drain_s` seconds.

        Does not block; safe in a signal handler, and more than once: the shorter time
        counts.
        """
        self._orders.put(drain_s)

    def stop(self, timeout_s: float) -> None:
        """End the thread, after leaving; waits up to `timeout_s`; idempotent."""
        self._orders.put(None)
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            self._observer.loop.report()
            self._work()
            wait_s = min(self._next_beat, self._next_renewal, self._put_back_at)
            try:
                order = self._orders.get(timeout=max(0.0, wait_s - self._clock.now_s()))
            except Empty:
                continue
            if order is None:
                self._say_goodbye()
                return
            if self._put_back_at == NEVER:
                self._served.leave()
                self._observer.leaving(self._worker_id)
                self._say_goodbye()
            self._put_back_at = min(self._put_back_at, self._clock.now_s() + order)

    def _work(self) -> None:
        now = self._clock.now_s()
        if now >= self._put_back_at:
            self._leases.stop_all(Stop.PUT_BACK)
            self._put_back_at = now + BEAT_S  # once is enough; it is idempotent
        if now >= self._next_renewal:
            done = not self._turns(now) or self._renew()
            # What has failed may get through before the leases are over.
            again_s = self._timing.renew_s if done else BEAT_S
            self._next_renewal = now + min(again_s, self._timing.renew_s)
        if now >= self._next_beat:
            self._next_beat = now + BEAT_S
            if self._put_back_at == NEVER:
                self._beat()

    def _beat(self) -> None:
        self._try("beat_worker", self._beat_once)

    def _beat_once(self) -> None:
        slots = self._slots()
        ttl_ms = round(self._timing.heartbeat_ttl_s * 1000)
        turns = self._turns(self._clock.now_s())
        parked = self._served.parked() if turns else 0
        epoch = self._ledger.membership.beat_worker(
            self._worker_id, slots, ttl_ms, self._http, parked
        )
        self._served.open_epoch(epoch)
        self._observer.beaten(slots, parked)

    def _turns(self, now_s: float) -> bool:
        """Whether the slots' loop lives: a stuck one must not keep what it runs."""
        return now_s - self._served.turned_s < self._timing.lease_s

    def _say_goodbye(self) -> None:
        self._try(
            "leave_worker",
            lambda: self._ledger.membership.leave_worker(self._worker_id),
        )

    def _renew(self) -> bool:
        """Renew what is held; returns whether the ledger has answered."""
        by_epoch: dict[str, list[HeldLease]] = {}
        for lease in self._leases.held():
            by_epoch.setdefault(lease.epoch, []).append(lease)
        answered = [
            self._try("renew", partial(self._renew_epoch, epoch, leases))
            for epoch, leases in by_epoch.items()
        ]
        return all(answered)

    def _renew_epoch(self, epoch: str, leases: list[HeldLease]) -> None:
        wanted = {lease.key: lease.lease_id for lease in leases}
        lease_ms = round(self._timing.lease_s * 1000)
        try:
            renewed = self._ledger.renew(epoch, wanted, lease_ms)
        except EpochChanged:
            renewed = {}
        for lease in leases:
            if not renewed.get(lease.key, False):
                lease.stop(Stop.LOST)

    def _try(self, name: str, step: Callable[[], None]) -> bool:
        """Carry on without Redis: running calls go on. Returns whether it was done."""
        try:
            step()
        except NewerFormat as error:
            self._observer.redis.too_old(error)
            self._give_up()
        except LedgerError as error:
            self._observer.redis.failed(name, error)
        else:
            self._observer.redis.answered()
            return True
        return False
