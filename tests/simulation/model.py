"""The model server: it answers from the prompt, and counts what runs at once."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import CancelledError
from typing import Any

from agentsched.config.settings import EndpointSettings
from agentsched.errors import CallFailed, ErrorCode
from agentsched.protocols import Completion
from agentsched.types import Message
from tests.simulation.plan import POISON
from tests.simulation.waiting import SimFuture
from tests.simulation.world import Process, World

FAILURE_RATIO = 0.06


def answer_to(content: str) -> str:
    """Return what the model says to a prompt."""
    return "answer to " + hashlib.blake2b(content.encode(), digest_size=6).hexdigest()


class Poisoned(BaseException):
    """The process that runs this call ends now."""


class ServerCall:
    """One call as the server sees it: it runs on when nobody waits for it any more."""

    def __init__(self, process: Process, request: Message, model: str) -> None:
        self.process = process
        self.request = request
        self.model = model
        self.running = True


class SimModels:
    """All model servers."""

    def __init__(self, world: World, slow_ms: int) -> None:
        self.world = world
        self.slow_ms = slow_ms
        """The longest usual call."""
        self.calls: list[ServerCall] = []
        """What runs now."""
        self.started: list[Callable[[ServerCall], None]] = []
        """Told of every call."""
        world.deaths.append(self._hang_up)

    def begin(self, process: Process, request: Message, model: str) -> ServerCall:
        """Start a call."""
        call = ServerCall(process, request, model)
        self.calls.append(call)
        self.world.note(process, "call", request.correlation_id, model)
        for tell in self.started:
            tell(call)
        return call

    def end(self, call: ServerCall) -> None:
        """End a call; idempotent."""
        if call.running:
            call.running = False
            self.calls.remove(call)

    def _hang_up(self, process: Process) -> None:
        for call in [one for one in self.calls if one.process is process]:
            self.end(call)


class _Pass:
    """Awaited by the completer: so many milliseconds pass."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def __await__(self) -> Generator[int, None, None]:
        yield self.ms


class SimCompleter:
    """`Completer` of one worker."""

    def __init__(self, models: SimModels, process: Process) -> None:
        self._models = models
        self._process = process

    async def complete(
        self,
        endpoint: EndpointSettings,
        model: str,
        request: Message,
        timeout_s: float,
        traceparent: str = "",
    ) -> Completion:
        del endpoint, traceparent
        models, rng = self._models, self._models.world.rng
        await _Pass(int(rng.random() * 3))
        lasts_ms = 1 + int(rng.random() * models.slow_ms)
        call = models.begin(self._process, request, model)
        # The server goes on while this process sleeps.
        models.world.after(lasts_ms, lambda _: models.end(call))
        try:
            if lasts_ms > timeout_s * 1000:
                await _Pass(round(timeout_s * 1000))
                raise CallFailed(
                    ErrorCode.DEADLINE_EXCEEDED, "simulated", retryable=True
                )
            await _Pass(lasts_ms)
            if request.content == POISON:
                raise Poisoned
        finally:
            models.end(call)
        if rng.random() < FAILURE_RATIO:
            raise CallFailed(ErrorCode.MODEL_UNAVAILABLE, "simulated", retryable=True)
        return Completion(
            content=answer_to(str(request.content)),
            finish_reason="stop",
            tool_calls=None,
            usage={"completion_tokens": rng.randrange(1, 10_000)},
            model_s=lasts_ms / 1000,
        )


class SimCall:
    """`Call`: drives a coroutine on simulated time."""

    def __init__(
        self, world: World, process: Process, work: Coroutine[Any, Any, Any]
    ) -> None:
        self._world = world
        self._process = process
        self._work = work
        self._ended = SimFuture(world)
        self._turn = 0
        world.after(0, self._step, (0, None), process)

    def result(self, timeout_s: float | None = None) -> Any:
        return self._ended.result(timeout_s)

    def cancel(self) -> None:
        error = asyncio.CancelledError()
        self._world.after(1, self._step, (None, error), self._process)

    def _step(self, turn_and_error: tuple[int | None, BaseException | None]) -> None:
        turn, error = turn_and_error
        if self._ended.done() or (error is None and turn != self._turn):
            return
        self._turn += 1
        try:
            ms = self._work.throw(error) if error else self._work.send(None)
        except StopIteration as stop:
            self._ended.set_result(stop.value)
        except asyncio.CancelledError:
            self._ended.set_exception(CancelledError())
        except (Exception, Poisoned) as failure:  # noqa: BLE001  (whoever waits gets it)
            self._ended.set_exception(failure)
        else:
            self._world.after(ms, self._step, (self._turn, None), self._process)


class SimCalls:
    """`CallLoop` of one worker."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process
        self._works: list[Coroutine[Any, Any, Any]] = []
        world.deaths.append(self._die)

    def start(self, work: Coroutine[Any, Any, Any]) -> SimCall:
        self._works.append(work)
        return SimCall(self._world, self._process, work)

    def _die(self, process: Process) -> None:
        if process is self._process:
            for work in self._works:
                work.close()  # else Python warns that nobody awaited it
