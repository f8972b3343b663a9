"""The doorbell queues: they lose, double, delay and reorder; and who rings into them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from agentsched.config.settings import ModelSettings
from agentsched.errors import DoorbellFailed
from agentsched.scheduling.order import CLASSES
from agentsched.wire.doorbell import Doorbell
from tests.simulation.world import Process, Ticket, World

MAX_DELAY_MS = 6_000
VISIBLE_AGAIN_MS = 5_000
"""A doorbell that a dead worker held comes back after so long, or never."""


Held = tuple[str, dict[str, Any]]
"""A doorbell, and the queue that it was taken from."""


class SimQueues:
    """One queue for each model, in Redis."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.lying: dict[str, list[tuple[int, int, dict[str, Any]]]] = {}
        self.doubled: Counter[str] = Counter()
        """How often each request's doorbell was put twice."""
        self._idle: dict[str, list[Ticket]] = {}
        self._number = 0

    def put(self, queue: str, wire: dict[str, Any]) -> None:
        """Add a doorbell, behind those of its class."""
        self._number += 1
        place = (CLASSES.index(wire["cls"]), self._number)
        self.lying.setdefault(queue, []).append((*place, wire))
        for ticket in self._idle.pop(queue, ()):
            self._world.wake(ticket)

    def waiting(self, queue: str) -> int:
        """Return how many doorbells lie in a queue."""
        return len(self.lying.get(queue, ()))

    def empty(self) -> None:
        """Lose all of them."""
        self.lying.clear()

    def take(self, queues: Sequence[str], wait_ms: int) -> Held | None:
        """Take a doorbell out of one of them, waiting for one; None when none came."""
        found = self._first(queues)
        if found is None:
            for queue in queues:
                self._idle.setdefault(queue, []).append(self._world.ticket())
            self._world.park(wait_ms)
            found = self._first(queues)
        return found

    def _first(self, queues: Sequence[str]) -> Held | None:
        lying = [queue for queue in queues if self.lying.get(queue)]
        if not lying:
            return None
        queue = self._world.rng.choice(lying)
        first = min(self.lying[queue], key=lambda one: one[:2])
        self.lying[queue].remove(first)
        return queue, first[2]


class SimDoorbells:
    """`DoorbellSender` of one bridge."""

    def __init__(
        self,
        world: World,
        queues: SimQueues,
        process: Process,
        models: Sequence[ModelSettings],
    ) -> None:
        self._world = world
        self._queues = queues
        self._process = process
        self._queue_of = {model.name: model.queue for model in models}
        self.failures: list[str] = []
        """What happens to the next doorbells: `lost`, `doubled`, `delayed`, `refused`
        (not sent, and said so) or `unsure` (sent, and said that it was not)."""

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        for doorbell in doorbells:
            self._world.boundary()
            self._ring(doorbell)
            self._world.boundary()

    def waiting(self, queue: str) -> int:
        self._world.boundary()
        return self._queues.waiting(queue)

    def know(self, models: Sequence[ModelSettings]) -> None:
        self._queue_of |= {model.name: model.queue for model in models}

    def _ring(self, doorbell: Doorbell) -> None:
        failure = self.failures.pop(0) if self.failures else ""
        queue, wire = self._queue_of[doorbell.model], doorbell.to_wire()
        self._world.note(
            self._process, "ring", wire["correlation_id"], doorbell.turn, failure
        )
        if failure in ("refused", "lost"):
            if failure == "refused":
                raise DoorbellFailed("simulated")
            return
        if failure == "delayed":
            late_ms = int(self._world.rng.random() * MAX_DELAY_MS)
            self._world.after(late_ms, lambda _: self._queues.put(queue, wire))
            return
        self._queues.put(queue, wire)
        if failure == "doubled":
            self._queues.put(queue, wire)
            self._queues.doubled[wire["correlation_id"]] += 1
        if failure == "unsure":
            raise DoorbellFailed("simulated")
