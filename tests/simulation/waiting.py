"""Events, queues, futures and threads that wait on simulated time.

They stand where the real code has those of `threading`, `queue` and
`concurrent.futures`.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty
from typing import Any

from agentsched.worker.clock import Clock
from tests.simulation.world import Process, Ticket, World

MAX_LATE_MS = 900
"""A loop with nothing to do may sleep so much longer: its duties come late, too."""
BATCH_MS = 40
"""What follows so soon after the first is taken in one turn."""


class SimEvent:
    """`threading.Event`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._set = False
        self._waiters: list[Ticket] = []

    def is_set(self) -> bool:
        return self._set

    def clear(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True
        waiters, self._waiters = self._waiters, []
        for ticket in waiters:
            self._world.wake(ticket)

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            self._waiters.append(self._world.ticket())
            self._world.park(None if timeout is None else round(timeout * 1000))
        return self._set


class SimQueue:
    """`queue.SimpleQueue`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._items: deque[Any] = deque()
        self._waiter: Ticket | None = None

    def put(self, item: Any) -> None:
        self._items.append(item)
        if self._waiter is not None:
            self._world.wake(self._waiter)

    def qsize(self) -> int:
        return len(self._items)

    def get_nowait(self) -> Any:
        if not self._items:
            raise Empty
        return self._items.popleft()

    def get(self, timeout: float) -> Any:
        if not self._items:
            self._waiter = self._world.ticket()
            self._world.park(round(timeout * 1000))
            self._waiter = None
        return self.get_nowait()


class SimInbox(SimQueue):
    """A bridge's inbox: who finds it empty may sleep for longer than it wanted."""

    def get(self, timeout: float) -> Any:
        if self._items or timeout <= 0:
            return self.get_nowait()
        late_ms = int(self._world.rng.random() * MAX_LATE_MS)
        found = super().get(timeout + late_ms / 1000)
        self._world.boundary(BATCH_MS)
        return found


class SimFuture(Future[Any]):
    """`concurrent.futures.Future`; who ends it a second time changes nothing."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._waiting: list[Ticket] = []

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            self._waiting.append(self._world.ticket())
            self._world.park(None if timeout is None else round(timeout * 1000))
        return super().result(timeout=0)

    def set_result(self, result: Any) -> None:
        if not self.done():
            super().set_result(result)
            self._wake()

    def set_exception(self, exception: BaseException | None) -> None:
        if not self.done():
            super().set_exception(exception)
            self._wake()

    def cancel(self) -> bool:
        cancelled = super().cancel()
        if cancelled:
            self._wake()
        return cancelled

    def _wake(self) -> None:
        for ticket in self._waiting:
            self._world.wake(ticket)


class SimThread:
    """`threading.Thread`, as far as the keeper and the change reader use it."""

    def __init__(
        self, world: World, process: Process, target: Callable[[], object]
    ) -> None:
        self._world = world
        self._process = process
        self._target = target
        self._ended = SimEvent(world)
        self.ident: int | None = None

    def start(self) -> None:
        self.ident = 1
        self._world.spawn(self._process, self._run)

    def _run(self) -> None:
        self._target()
        self._ended.set()

    def is_alive(self) -> bool:
        return self.ident is not None and not self._ended.is_set()

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)


class SimExecutor:
    """`ThreadPoolExecutor`: every piece of work in a task of its own."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    def submit(self, work: Callable[..., Any], *arguments: Any) -> SimFuture:
        future = SimFuture(self._world)

        def run() -> None:
            try:
                future.set_result(work(*arguments))
            except Exception as error:  # noqa: BLE001  (whoever asks gets it)
                future.set_exception(error)

        self._world.spawn(self._process, run)
        return future

    def shutdown(self, **_: Any) -> None:
        """The work that is left dies with the process."""


class Unobserved:
    """Stands for the observers, which decide nothing: every call does nothing."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *_: Any, **__: Any) -> None:
        return None


class SimClock(Clock):
    """The clock of a worker process."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now_s(self) -> float:
        return self._world.now_ms / 1000

    def event(self) -> Any:
        return SimEvent(self._world)
