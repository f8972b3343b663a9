"""The model server: it answers from the prompt, and counts what runs at once."""

import asyncio
import hashlib
from collections.abc import Callable

from agentsched.config.settings import EndpointSettings
from agentsched.errors import CallFailed, ErrorCode
from agentsched.protocols import Completion
from agentsched.types import Message
from tests.simulation.plan import POISON
from tests.simulation.world import Process, World

FAILURE_RATIO = 0.06


def answer_to(content: str) -> str:
    """Return what the model says to a prompt."""
    return "answer to " + hashlib.blake2b(content.encode(), digest_size=6).hexdigest()


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


async def _pass(ms: int) -> None:
    await asyncio.sleep(ms / 1000)


class SimCompleter:
    """`Completer` of one process.

    Args:
        poison: called in the middle of a poisonous call; it ends the process.
    """

    def __init__(
        self, models: SimModels, process: Process, poison: Callable[[], None]
    ) -> None:
        self._models = models
        self._process = process
        self._poison = poison

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
        await _pass(int(rng.random() * 3))
        lasts_ms = 1 + int(rng.random() * models.slow_ms)
        call = models.begin(self._process, request, model)
        # The server goes on while this process sleeps.
        models.world.after(lasts_ms, lambda _: models.end(call))
        try:
            if lasts_ms > timeout_s * 1000:
                await _pass(round(timeout_s * 1000))
                raise CallFailed(
                    ErrorCode.DEADLINE_EXCEEDED, "simulated", retryable=True
                )
            await _pass(lasts_ms)
            if request.content == POISON:
                self._poison()
                await asyncio.Event().wait()
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
