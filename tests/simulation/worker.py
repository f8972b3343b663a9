"""A worker process: the real slots, keeper and leases, around simulated adapters.

Celery is played by one task: it fetches doorbells while slots wait, hands them to the
slots and acknowledges what those have looked at.
"""

from collections.abc import Callable
from functools import partial
from queue import Empty
from uuid import uuid4

from agentsched.config.settings import Settings
from agentsched.wire.doorbell import Doorbell
from agentsched.worker.abort_listener import AbortListener
from agentsched.worker.execution import Execution
from agentsched.worker.heartbeat import Heartbeat
from agentsched.worker.leases import LeaseBook
from agentsched.worker.slots import Slots
from agentsched.worker.task_view import TaskView
from agentsched.worker.turns import Turns
from tests.simulation.doorbells import VISIBLE_AGAIN_MS, Held, SimQueues
from tests.simulation.kafka import SimKafka
from tests.simulation.loop import SimLoop, SimThreads
from tests.simulation.model import SimCompleter, SimModels
from tests.simulation.redis import LedgerClient, SimRedis
from tests.simulation.sink import SimSink
from tests.simulation.suspects import SimSuspects
from tests.simulation.waiting import SimClock, SimEvent, SimQueue, SimThread, Unobserved
from tests.simulation.world import Process, World

IDLE_MS = 5_000
LOOK_S = 1.0
"""How often Celery's consumer looks by itself whether it may fetch."""
CLOSE_S = 5.0
LOST_RATIO = 0.3
"""How often a doorbell that a dead worker held never comes back: Celery had not noted
it yet."""


class SimWorker:
    """One worker, from its start to its end."""

    def __init__(  # the whole world is needed to make one
        self,
        world: World,
        redis: SimRedis,
        kafka: SimKafka,
        queues: SimQueues,
        models: SimModels,
        settings: Settings,
        name: str,
        serves: tuple[str, ...],
        slots: int,
        execution: type[Execution] = Execution,
        turns: type[Turns] = Turns,
    ) -> None:
        self._world = world
        self._queues = queues
        self._settings = settings
        self._consumes = [m.queue for m in settings.models if m.name in serves]
        self._leaving = False
        self._unacked: list[Held] = []
        self.process = process = world.start(name)
        self.ledger = LedgerClient(redis, process)
        timeout_ms = round(settings.timing.delivery_timeout_s * 1000)
        self.sink = SimSink(world, kafka, process, timeout_ms)
        leases = LeaseBook(SimClock(world))
        worker_id = f"{process}/{uuid4().hex}"
        self._loop = SimLoop(world, process)
        self._free = SimQueue(world)
        self._slots = Slots(
            settings,
            self.ledger,  # type: ignore[arg-type]
            self.sink,  # type: ignore[arg-type]
            SimCompleter(models, process, self._die_of_it),
            leases,
            SimSuspects(world, process, leases.clock, settings, models),
            worker_id,
            serves,
            lambda: slots,
            Unobserved(),  # type: ignore[arg-type]
            SimThreads(world, process),
            Noticing(partial(self._free.put, None)),
        )
        self._slots._execution.__class__ = execution
        self._slots._turns.__class__ = turns
        self._keeper = Heartbeat(
            self.ledger,  # type: ignore[arg-type]
            leases,
            settings.timing,
            worker_id,
            lambda: dict.fromkeys(serves, slots),
            self._slots,
            Unobserved(),  # type: ignore[arg-type]
        )
        self._keeper._orders = SimQueue(world)  # type: ignore[assignment]
        self._keeper._thread = SimThread(world, process, self._keeper._run)  # type: ignore[assignment]
        self._aborts = AbortListener(self.ledger.voided(), leases)  # type: ignore[arg-type]
        self._aborts._stopped = SimEvent(world)  # type: ignore[assignment]
        self._aborts._thread = SimThread(world, process, self._aborts._run)  # type: ignore[assignment]
        world.deaths.append(self._die)
        self._aborts.start()
        world.spawn(process, self._run)
        self._keeper.start()
        world.spawn(process, self._consume)

    def stop(self) -> None:
        """Leave as SIGTERM makes it: drain, put back what still runs."""
        if not self._leaving:
            self._leaving = True
            self._world.note(self.process, "leaves")
            self._keeper.leave(self._settings.timing.drain_s)

    def _run(self) -> None:
        self._loop.run_until_complete(self._slots.run())
        self._keeper.stop(CLOSE_S)
        self._aborts.stop(CLOSE_S)
        self.sink.close(CLOSE_S)
        self._loop.close()
        for held in self._unacked:
            self._queues.put(*held)
        self._unacked.clear()
        self._world.after(0, lambda _: self._world.kill(self.process))

    # -- Celery's part ------------------------------------------------------------

    def _consume(self) -> None:
        while not self._leaving:
            held = (
                self._queues.take(self._consumes, IDLE_MS) if self._wanted() else None
            )
            if held is not None:
                self._receive(held)
            elif not self._wanted():
                try:
                    self._free.get(LOOK_S)
                except Empty:
                    continue

    def _receive(self, held: Held) -> None:
        """Hand a doorbell to the slots; who got busy meanwhile gives it back."""
        if not self._wanted():
            self._queues.put(*held)
            return
        self._unacked.append(held)
        self._world.boundary()
        doorbell = Doorbell.from_wire(held[1])
        self._world.note(self.process, "hears", doorbell.correlation_id)
        self._slots.ring(doorbell, partial(self._acknowledge, held))

    def _wanted(self) -> bool:
        return self._slots.waiting() > len(self._unacked)

    def _acknowledge(self, held: Held) -> None:
        """Called in the slots' loop; the consumer does it a moment later."""
        strike_out = lambda _: held in self._unacked and self._unacked.remove(held)  # noqa: E731
        self._world.after(1, strike_out, None, self.process)
        self._free.put(None)

    # -- the end ------------------------------------------------------------------

    def _die_of_it(self) -> None:
        self._world.after(0, self._poisoned)

    def _poisoned(self, _: object) -> None:
        self._world.trouble(self.process, "poisoned")
        self._world.kill(self.process)

    def _die(self, process: Process) -> None:
        if process is not self.process:
            return
        for queue, wire in self._unacked:
            if self._world.rng.random() >= LOST_RATIO:
                self._world.after(
                    VISIBLE_AGAIN_MS,
                    lambda _, queue=queue, wire=wire: self._queues.put(queue, wire),  # type: ignore[misc]
                )


class Noticing(TaskView):
    """Celery's view of the slots: it hears when some wait again."""

    def __init__(self, notice: Callable[[], None]) -> None:
        self._notice = notice

    def waiting(self) -> None:
        self._notice()
