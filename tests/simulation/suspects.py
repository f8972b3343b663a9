"""The children in which a worker runs suspects; a poisonous request ends them."""

from concurrent.futures import CancelledError

from agentsched.config.settings import Settings
from agentsched.worker.call import ask
from agentsched.worker.call_result import Job
from agentsched.worker.clock import Clock
from agentsched.worker.suspect_protocol import decode_claimed, encode_answer
from agentsched.worker.suspects import BUSY_DELAY_MS, Child, Crashed, Suspects
from tests.simulation.model import Poisoned, SimCall, SimCalls, SimCompleter
from tests.simulation.world import World


class SimChild(Child):
    """One child: it asks the model as the real one does, or dies of it."""

    def __init__(
        self, settings: Settings, completer: SimCompleter, calls: SimCalls
    ) -> None:
        self._settings = settings
        self._completer = completer
        self._calls = calls
        self._call: SimCall | None = None
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        if self._call is not None:
            self._call.cancel()

    def run(self, line: bytes, until: float, clock: Clock) -> bytes | None:
        job = Job.from_claim(decode_claimed(line), clock.now_s())
        self._call = self._calls.start(ask(self._settings, self._completer, job, clock))
        try:
            return encode_answer(self._call.result())
        except Poisoned:
            raise Crashed(-9) from None
        except CancelledError:
            return None

    def close(self) -> None:
        """Nothing is held."""


class SimSuspects(Suspects):
    """`Suspects` with simulated children and the world's chance."""

    def __init__(
        self,
        world: World,
        clock: Clock,
        settings: Settings,
        completer: SimCompleter,
        calls: SimCalls,
    ) -> None:
        super().__init__(clock, lambda: SimChild(settings, completer, calls))
        self._world = world

    def busy_delay_ms(self) -> int:
        return self._world.rng.randint(*BUSY_DELAY_MS)
