"""Simulated time: tasks take turns, and every switch is a place for a fault.

A task is a greenlet, so real synchronous code runs in it: where that code would wait,
an adapter of the simulation gives the turn away. Nothing here knows the system.
"""

import heapq
import sys
from asyncio import AbstractEventLoop, current_task
from asyncio.events import _get_running_loop, _set_running_loop
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from greenlet import getcurrent, greenlet

START_MS = 1_763_940_000_000
LOOK_MS = 100
"""How often a process that sleeps is looked at."""


class Killed(SystemExit):
    """Raised inside the tasks of a process that was killed.

    An exit, because asyncio keeps to itself what else is raised in a coroutine.
    """


class Process:
    """What dies and sleeps as one: a bridge or a worker, from its start to its end."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        """Which start of this name it is."""
        self.alive = True
        self.paused_until_ms = 0
        self.tasks: list[Task] = []
        self.traps: list[tuple[int, Callable[[Process], None]]] = []
        """(boundaries to go, what happens then)."""

    def __repr__(self) -> str:
        return f"{self.name}#{self.number}"


class Trouble(NamedTuple):
    """A fault that struck."""

    start_ms: int
    end_ms: int
    process: Process | None
    """None: everybody."""
    what: str


class Task:
    """One thread of a process."""

    __slots__ = ("green", "process", "token")

    def __init__(self, process: Process, green: greenlet) -> None:
        self.process = process
        self.green = green
        self.token = 0
        """A turn that was promised under an older token is not taken."""


Ticket = tuple[Task, int]


class World:
    """The clock, and who runs next."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self._random = self.rng.random
        self.now_ms = START_MS
        self.history: list[tuple[int, str, str, tuple[Any, ...]]] = []
        self.bugs: list[str] = []
        self.troubles: list[Trouble] = []
        """The faults that struck, for the checker: it allows for them."""
        self.deaths: list[Callable[[Process], None]] = []
        """Told when a process was killed or has ended."""
        self.pauses: list[Callable[[Process], None]] = []
        """Told when a process begins to sleep."""
        self._heap: list[tuple[int, float, int, Process | None, Any, Any]] = []
        self._pushed = 0
        self._hub = getcurrent()
        self._current: Task | None = None
        self._starts: dict[str, int] = {}

    # -- history ------------------------------------------------------------------

    def note(self, who: object, what: str, *details: Any) -> None:
        """Write one line of the history."""
        self.history.append((self.now_ms, str(who), what, details))

    def trouble(self, process: Process | None, what: str, lasts_ms: int = 0) -> None:
        """Note that a fault has struck."""
        trouble = Trouble(self.now_ms, self.now_ms + lasts_ms, process, what)
        self.troubles.append(trouble)
        self.note(process or "world", "TROUBLE", what, lasts_ms)

    # -- turns --------------------------------------------------------------------

    def after(
        self,
        ms: int,
        action: Callable[[Any], None],
        argument: Any = None,
        process: Process | None = None,
    ) -> None:
        """Call `action` in a while, unless `process` is dead then; it must not wait."""
        self._pushed += 1
        heapq.heappush(
            self._heap,
            (
                self.now_ms + ms,
                self._random(),
                self._pushed,
                process,
                action,
                argument,
            ),
        )

    def run(self, until_ms: int) -> None:
        """Let everybody have turns up to a moment."""
        heap = self._heap
        while heap and heap[0][0] <= until_ms:
            at_ms, _, _, process, action, argument = heapq.heappop(heap)
            self.now_ms = max(self.now_ms, at_ms)
            if process is not None:
                if not process.alive:
                    continue
                if process.paused_until_ms > self.now_ms:
                    # Not the whole pause: it may be healed before its end.
                    wait_ms = min(LOOK_MS, process.paused_until_ms - self.now_ms)
                    self.after(wait_ms, action, argument, process)
                    continue
            action(argument)
        self.now_ms = max(self.now_ms, until_ms)

    @property
    def process(self) -> Process:
        """The process whose turn it is."""
        return self._task().process

    def park(self, wait_ms: int | None = None) -> None:
        """Give the turn away until `wake`, or until the time is over."""
        task = self._task()
        if not task.process.alive:
            raise Killed
        task.token += 1
        if wait_ms is not None:
            self.after(wait_ms, self._resume, (task, task.token), task.process)
        if (loop := _get_running_loop()) is None:
            self._hub.switch()
        else:
            self._park_inside(loop)

    def _park_inside(self, loop: AbstractEventLoop) -> None:
        """Give the turn away in a loop of asyncio, which takes the thread for its own."""
        at, hooks = current_task(loop), sys.get_asyncgen_hooks()
        if at is not None:
            _leave_task(loop, at)
        _set_running_loop(None)
        sys.set_asyncgen_hooks(None, None)
        try:
            self._hub.switch()
        finally:
            sys.set_asyncgen_hooks(*hooks)
            _set_running_loop(loop)
            if at is not None:
                _enter_task(loop, at)

    def ticket(self) -> Ticket:
        """What ends the next `park` of this task, and no later one."""
        task = self._task()
        return task, task.token + 1

    def wake(self, ticket: Ticket) -> None:
        """Give a parked task its turn soon."""
        self.after(0, self._resume, ticket, ticket[0].process)

    def _task(self) -> Task:
        if self._current is None:
            raise RuntimeError("no process has the turn: this may not wait")
        return self._current

    def sleep(self, ms: int) -> None:
        """Let time pass for this task."""
        task = self._current
        heap = self._heap
        if (
            task is not None
            and task.process.alive
            and (not heap or heap[0][0] > self.now_ms + ms)
        ):
            self.now_ms += ms  # nobody else has anything to do meanwhile
            return
        self.park(ms)

    def boundary(self, most_ms: int = 3) -> None:
        """A place between two effects: others run, and a fault may strike."""
        task = self._current
        if task is None or not task.process.alive:
            raise Killed
        if task.process.traps:
            self._spring(task.process)
        ms = int(self._random() * (most_ms + 1))
        if not self._heap or self._heap[0][0] > self.now_ms + ms:
            self.now_ms += ms  # nobody else has anything to do meanwhile
        else:
            self.park(ms)

    def _spring(self, process: Process) -> None:
        traps, process.traps = process.traps, []
        for left, action in traps:
            if left > 0:
                process.traps.append((left - 1, action))
            else:
                self.after(0, self._strike, (action, process, self.ticket()))
                self.park()

    def _strike(self, fault: tuple[Callable[[Process], None], Process, Ticket]) -> None:
        action, process, ticket = fault
        action(process)
        self.wake(ticket)

    def _resume(self, ticket: Ticket) -> None:
        task, token = ticket
        if task.token == token:
            self._switch(task)

    def _switch(self, task: Task) -> None:
        task.token += 1
        self._current = task
        task.green.switch()
        self._current = None

    # -- processes ----------------------------------------------------------------

    def start(self, name: str) -> Process:
        """Begin a process without tasks."""
        number = self._starts[name] = self._starts.get(name, 0) + 1
        self.note(f"{name}#{number}", "starts")
        return Process(name, number)

    def spawn(self, process: Process, run: Callable[[], object]) -> Task:
        """Begin a task of a process."""
        task = Task(process, greenlet(lambda: self._run(process, run), self._hub))
        process.tasks.append(task)
        self.after(0, self._resume, (task, task.token), process)
        return task

    def _run(self, process: Process, run: Callable[[], object]) -> None:
        try:
            run()
        except Killed:
            return
        except Exception as error:  # noqa: BLE001  (it is reported as a violation)
            self.bugs.append(_describe(process, error))
            self.note(process, "BUG", repr(error))

    def kill(self, process: Process) -> None:
        """End a process where it stands; call it from no task."""
        if process.alive:
            process.alive = False
            for task in process.tasks:
                if task.green:  # it has begun, and has not ended
                    self._current = task
                    task.green.throw(Killed)
                    self._current = None
            for tell in self.deaths:
                tell(process)

    def pause(self, process: Process, ms: int) -> None:
        """Let a process sleep where it stands, as SIGSTOP does."""
        self.trouble(process, "paused", ms)
        process.paused_until_ms = max(process.paused_until_ms, self.now_ms + ms)
        for tell in self.pauses:
            tell(process)


def _describe(process: Process, error: BaseException) -> str:
    place, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{process}: {type(error).__name__} at {place}: {error}"
