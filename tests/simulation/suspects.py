"""The children in which a worker runs suspects; a poisonous request ends them."""

import asyncio

from agentsched.config.settings import Settings
from agentsched.worker.call import ask
from agentsched.worker.call_result import CallResult, Job
from agentsched.worker.clock import Clock
from agentsched.worker.suspect_protocol import decode_taken, encode_answer
from agentsched.worker.suspects import (
    AT_ONCE,
    NO_CHILD_DELAY_MS,
    Child,
    Crashed,
    Suspects,
)
from tests.simulation.loop import SimLoop, SimThreads
from tests.simulation.model import SimCompleter, SimModels
from tests.simulation.world import Process, World


class Poisoned(BaseException):
    """The child that runs this call ends now."""


class SimChild(Child):
    """One child: it asks the model as the real one does, or dies of it."""

    def __init__(
        self, world: World, process: Process, settings: Settings, models: SimModels
    ) -> None:
        self._loop = SimLoop(world, process)
        self._settings = settings
        self._completer = SimCompleter(models, process, self._die)
        self._call: asyncio.Task[CallResult] | None = None
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        if self._call is not None:
            self._loop.call_soon_threadsafe(self._call.cancel)

    def run(self, line: bytes, until: float, clock: Clock) -> bytes | None:
        taken = decode_taken(line)
        job = Job.of(taken, clock.now_s()).opened(taken.payload)
        self._call = self._loop.create_task(
            ask(self._settings, self._completer, job, clock)
        )
        if self.cancelled:
            self._call.cancel()
        try:
            return encode_answer(self._loop.run_until_complete(self._call))
        except Poisoned:
            raise Crashed(-9) from None
        except asyncio.CancelledError:
            return None

    def close(self) -> None:
        """Nothing is held."""

    def _die(self) -> None:
        raise Poisoned


class SimSuspects(Suspects):
    """`Suspects` with simulated children and the world's chance."""

    def __init__(
        self,
        world: World,
        process: Process,
        clock: Clock,
        settings: Settings,
        models: SimModels,
    ) -> None:
        super().__init__(clock, lambda: SimChild(world, process, settings, models))
        self._threads = SimThreads(world, process, AT_ONCE)  # type: ignore[assignment]
        self._world = world

    def no_child_delay_ms(self) -> int:
        return self._world.rng.randint(*NO_CHILD_DELAY_MS)
