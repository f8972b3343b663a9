"""A worker process: the real execution, keeper and leases, around simulated adapters.

Celery is played by the slots: each takes a doorbell, has the execution run it, and
acknowledges it afterwards.
"""

from uuid import uuid4

from agentsched.config.settings import Settings
from agentsched.wire.doorbell import Doorbell
from agentsched.worker.abort_listener import AbortListener
from agentsched.worker.execution import Execution
from agentsched.worker.heartbeat import Heartbeat
from agentsched.worker.leases import LeaseBook
from tests.simulation.doorbells import VISIBLE_AGAIN_MS, Held, SimQueues
from tests.simulation.kafka import SimKafka
from tests.simulation.model import Poisoned, SimCalls, SimCompleter, SimModels
from tests.simulation.redis import LedgerClient, SimRedis
from tests.simulation.sink import SimSink
from tests.simulation.suspects import SimSuspects
from tests.simulation.waiting import SimClock, SimEvent, SimQueue, SimThread, Unobserved
from tests.simulation.world import Process, World

IDLE_MS = 5_000
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
        completer, calls = SimCompleter(models, process), SimCalls(world, process)
        self._execution = execution(
            settings,
            self.ledger,  # type: ignore[arg-type]
            self.sink,  # type: ignore[arg-type]
            completer,
            calls,  # type: ignore[arg-type]
            leases,
            SimSuspects(world, leases.clock, settings, completer, calls),
            Unobserved(),  # type: ignore[arg-type]
        )
        self._keeper = Heartbeat(
            self.ledger,  # type: ignore[arg-type]
            leases,
            settings.timing,
            f"{process}/{uuid4().hex}",
            lambda: dict.fromkeys(serves, slots),
            Unobserved(),  # type: ignore[arg-type]
        )
        self._keeper._orders = SimQueue(world)  # type: ignore[assignment]
        self._keeper._thread = SimThread(world, process, self._keeper._run)  # type: ignore[assignment]
        self._aborts = AbortListener(self.ledger.voided(), leases)  # type: ignore[arg-type]
        self._aborts._stopped = SimEvent(world)  # type: ignore[assignment]
        self._aborts._thread = SimThread(world, process, self._aborts._run)  # type: ignore[assignment]
        self._aborts.start()
        world.deaths.append(self._die)
        self._busy = slots
        self._keeper.start()
        for _ in range(slots):
            world.spawn(process, self._slot)

    def stop(self) -> None:
        """Leave as SIGTERM makes it: drain, put back what still runs."""
        if not self._leaving:
            self._leaving = True
            self._world.note(self.process, "leaves")
            self._keeper.leave(self._settings.timing.drain_s)

    def _slot(self) -> None:
        """Celery's part: take, run, acknowledge."""
        while not self._leaving:
            held = self._queues.take(self._consumes, IDLE_MS)
            if held is not None:
                self._serve(held)
        self._busy -= 1
        if not self._busy:
            self._keeper.stop(CLOSE_S)
            self._aborts.stop(CLOSE_S)
            self.sink.close(CLOSE_S)
            self._world.after(0, lambda _: self._world.kill(self.process))

    def _serve(self, held: Held) -> None:
        _, wire = held
        self._unacked.append(held)
        self._world.boundary()
        try:
            ended = self._execution.run(Doorbell.from_wire(wire))
        except Poisoned:
            self._world.after(0, self._die_of_it)
            self._world.park()
        self._world.note(self.process, "ran", wire["correlation_id"], ended.value)
        self._world.boundary()
        self._unacked.remove(held)  # the acknowledgement

    def _die_of_it(self, _: object) -> None:
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
