"""An asyncio loop on simulated time, and the threads that it hands blocking work to.

The loop is asyncio's own. Only what it waits with is ours: where the real one asks the
operating system, this one parks its task. Coroutines, timers, time-outs and cancellation
are the real code.
"""

import math
from asyncio.base_events import BaseEventLoop
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tests.simulation.waiting import SimFuture
from tests.simulation.world import Killed, Process, Ticket, World

if TYPE_CHECKING:
    from asyncio import Task


class SimLoop(BaseEventLoop):
    """The loop of one process; `run_until_complete` belongs in a task of that process.

    It dies with its process: its coroutines are closed then, in the order in which they
    began. An error that nobody took is a bug of the run.
    """

    def __init__(self, world: World, process: Process) -> None:
        super().__init__()
        self._world = world
        self._process = process
        self._selector = _Parking(world)
        self._clock_resolution = 0.0005  # half a step of the clock
        self._default_executor = SimThreads(world, process, math.inf)  # type: ignore[assignment]
        self._begun: dict[Task[Any], None] = {}

    def __del__(self) -> None:
        """The children of a killed worker leave theirs open."""

    def time(self) -> float:
        return self._world.now_ms / 1000

    def run_forever(self) -> None:
        try:
            super().run_forever()
        except Killed:
            self._bury()
            raise

    def create_task(self, coro: Coroutine[Any, Any, Any], **named: Any) -> Any:  # type: ignore[override]
        task = super().create_task(coro, **named)
        self._begun[task] = None
        task.add_done_callback(lambda _: self._begun.pop(task, None))
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._process.alive:
            error = context.get("exception")
            text = f"{self._process}: {context['message']}: {error!r}"
            self._world.bugs.append(text)
            self._world.note(self._process, "BUG", text)

    def _process_events(self, event_list: Any) -> None:
        """There are none: whoever has something calls `call_soon_threadsafe`."""

    def _write_to_self(self) -> None:
        self._selector.wake()

    def _bury(self) -> None:
        """Close what has not ended: left to Python it would be, at any moment."""
        left, self._begun = list(self._begun), {}
        for task in left:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with suppress(RuntimeError, Killed):  # it would still wait for something
                task.get_coro().close()  # type: ignore[union-attr]
        self.close()


class _Parking:
    """What stands for the selector: it knows no sockets."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ticket: Ticket | None = None
        self._woken = False

    def wake(self) -> None:
        self._woken = True
        if self._ticket is not None:
            self._world.wake(self._ticket)
            self._ticket = None

    def select(self, timeout_s: float | None) -> list[Any]:
        if not self._woken and timeout_s != 0:
            self._ticket = self._world.ticket()
            # A moment too early the timer would not be due.
            wait_ms = None if timeout_s is None else math.ceil(timeout_s * 1000 - 0.01)
            self._world.park(wait_ms)
            self._ticket = None
        self._woken = False
        return []


class SimThreads(Executor):
    """`ThreadPoolExecutor`: so many pieces of work at once, the others wait."""

    def __init__(self, world: World, process: Process, threads: float = 1) -> None:
        self._world = world
        self._process = process
        self._free = threads
        self._waiting: deque[tuple[SimFuture, Callable[[], Any]]] = deque()

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        future = SimFuture(self._world)
        self._waiting.append((future, lambda: work(*args, **kwargs)))
        if self._free:
            self._free -= 1
            self._world.spawn(self._process, self._run)
        return future

    def _run(self) -> None:
        while self._waiting:
            future, work = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001  (whoever asks gets it)
                future.set_exception(error)
        self._free += 1

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """What is left dies with the process."""
        del wait
        if cancel_futures:
            for future, _ in self._waiting:
                future.cancel()
