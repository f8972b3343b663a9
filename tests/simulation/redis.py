"""Redis as the processes see it: the real ledger in memory, behind a network that fails.

One `SimRedis` holds the data; each process has a `LedgerClient` of its own.
"""

import copy
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from typing import Any

from agentsched.errors import EpochChanged, LedgerUnavailable
from agentsched.ledger.memory.ledger import MemoryLedger
from agentsched.ledger.protocol import always
from tests.simulation.doorbells import SimQueues
from tests.simulation.waiting import SimQueue
from tests.simulation.world import Process, Ticket, World

Kept = tuple[Any, Any]
WAITS = {"changes"}
HOUSEKEEPING = {
    *("beat_bridge", "beat_worker", "live_slots", "now_ms", "lead"),
    *("orders", "report", "restore", "totals", "inspect", "snapshot"),
}
"""Steps that change no request: between them and their answer nothing can happen that
matters."""
MAY_BE_LATE = {"turn", "plan"}
"""Steps that may be done long after their caller has given up."""
MAX_LATE_MS = 5_000
HINT_LOST_RATIO = 0.3
BATCH_MS = 40
"""Changes that follow each other so soon are read together."""
UNREACHABLE_MS = 400
"""How long a client tries at the most before it says that Redis does not answer."""


class SimRedis:
    """The server: the ledger's data and who waits for its changes."""

    def __init__(self, world: World, ledger: type[MemoryLedger] = MemoryLedger) -> None:
        self.world = world
        self.ledger = ledger(lambda: world.now_ms)
        parts = self.ledger.membership, self.ledger.operations, self.ledger.views
        self._parts = (self.ledger, *parts)
        self.queues = SimQueues(world)
        self.losses = 0
        """How often data was lost."""
        self.put_backs = 0
        """How often of these it was put back."""
        self.down_until_ms = 0
        self.watchers: list[Callable[[Process, str, tuple[Any, ...], Any], None]] = []
        """Told of every step that was done: who, which, its arguments, its answer."""
        self.subscribers: list[SimVoidedLeases] = []
        self._readers: list[Ticket] = []
        self._seen: object = None

    def lose(self) -> None:
        """Forget everything, as an emptied server does."""
        self.losses += 1
        self.ledger.server.lose()
        self.queues.empty()

    def keep(self) -> Kept:
        """Return a copy of all data, for `put_back`."""
        return self.ledger.server.save(), copy.deepcopy(self.queues.lying)

    def put_back(self, kept: Kept) -> None:
        """Return to an earlier state, as a replica that lagged does."""
        self.losses += 1
        self.put_backs += 1
        saved, lying = kept
        self.ledger.server.rollback(saved)
        self.queues.lying = copy.deepcopy(lying)

    def do(self, process: Process, step: str, arguments: tuple[Any, ...]) -> Any:
        """Carry one step out."""
        part = next(one for one in self._parts if hasattr(one, step))
        answer = getattr(part, step)(*arguments)
        for watch in self.watchers:
            watch(process, step, arguments, answer)
        voided = self.ledger.voided()._voided
        while voided:
            lease_id = voided.pop()
            for subscriber in self.subscribers:
                subscriber.put(lease_id)
        if self._seen is not (last := self.ledger._book.changes.last):
            self._seen = last
            self.wake_readers()
        return answer

    def wait_for_change(self, wait_ms: int) -> None:
        """Let a task wait until something changes."""
        self._readers.append(self.world.ticket())
        self.world.park(wait_ms)

    def wake_readers(self) -> None:
        """Tell all who wait for changes."""
        readers, self._readers = self._readers, []
        for ticket in readers:
            self.world.wake(ticket)


class SimVoidedLeases(SimQueue):
    """`VoidedLeases`: hints, of which some get lost."""

    def take(self, wait_s: float) -> str | None:
        try:
            lease_id: str = self.get(wait_s)
        except Empty:
            return None
        return None if self._world.rng.random() < HINT_LOST_RATIO else lease_id

    def close(self) -> None:
        """Nothing is held."""


class LedgerClient:
    """The whole ledger for one process, with all its parts.

    Before and after every step is a boundary, where the process may die or sleep. An
    answer may be lost before or after the step.
    """

    def __init__(self, redis: SimRedis, process: Process) -> None:
        self._redis = redis
        self._world = redis.world
        self._process = process
        self.failures: list[str] = []
        """What happens to the next steps: `refused` (not done), `lost` (done), or `late`
        (done after a while; only what may be late)."""
        self.down_until_ms = 0
        self.membership = self.operations = self.views = self

    def voided(self) -> SimVoidedLeases:
        """Subscribe to what is voided."""
        subscriber = SimVoidedLeases(self._world)
        self._redis.subscribers.append(subscriber)
        return subscriber

    def __getattr__(self, step: str) -> Callable[..., Any]:
        if step.startswith("_"):
            raise AttributeError(step)
        wait = self._changes if step in WAITS else None
        done = wait or (lambda *arguments: self._do(step, arguments))
        setattr(self, step, done)
        return done

    def _do(self, step: str, arguments: tuple[Any, ...]) -> Any:
        world = self._world
        world.boundary()
        failure = self._next_failure(step)
        if failure == "refused" or self._unreachable():
            self._fail(step, "refused")
        if failure == "late":
            late_ms = int(world.rng.random() * MAX_LATE_MS)
            world.after(late_ms, self._arrive_late, (step, arguments))
            self._fail(step, f"late by {late_ms} ms")
        try:
            answer = self._redis.do(self._process, step, arguments)
        finally:
            if step not in HOUSEKEEPING:
                world.boundary()
        if failure == "lost" or self._unreachable():
            self._fail(step, "lost")
        return answer

    def _next_failure(self, step: str) -> str:
        if not self.failures or (
            self.failures[0] == "late" and step not in MAY_BE_LATE
        ):
            return ""
        return self.failures.pop(0)

    def _arrive_late(self, what: tuple[str, tuple[Any, ...]]) -> None:
        """It lay in a buffer of the network: nobody waits for it any more."""
        if self._world.now_ms >= self._redis.down_until_ms:
            with suppress(EpochChanged):
                self._redis.do(self._process, *what)

    def _changes(
        self,
        epoch: str,
        cursor: str,
        block_ms: int,
        limit: int = 1000,
        detailed: Callable[[], bool] = always,
    ) -> tuple[str, Any]:
        self._world.boundary()
        if self._unreachable():
            self._fail("changes", "refused")
        found = self._redis.ledger.changes(epoch, cursor, 0, limit, detailed)
        if not found[1] and block_ms > 0:
            self._redis.wait_for_change(block_ms)
            self._world.boundary(BATCH_MS)
            found = self._redis.ledger.changes(epoch, cursor, 0, limit, detailed)
        return found

    def _unreachable(self) -> bool:
        return self._world.now_ms < max(self.down_until_ms, self._redis.down_until_ms)

    def _fail(self, step: str, how: str) -> None:
        self._world.trouble(self._process, f"{step} {how}")
        self._world.sleep(int(self._world.rng.random() * UNREACHABLE_MS))
        raise LedgerUnavailable(f"simulated: {step} {how}")
