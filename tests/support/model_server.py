"""A scripted OpenAI-compatible server for tests: answers, records, and fails on demand."""

import asyncio
import hashlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Self

from aiohttp import web

START_S = 10.0
CLOSING_TURNS = 10
"""Turns of the loop in which connections begin, or close their sockets."""
MAX_BODY_BYTES = 64 * 1024 * 1024


def digest(prompt: str) -> str:
    """What the server answers with: proof that it saw exactly this prompt."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Answer:
    """A chat completion; `content` None: `<model> <digest of the prompt>`."""

    content: str | None = None
    delay_s: float = 0.0
    completion_tokens: int = 7
    finish_reason: str = "stop"
    tool_calls: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Refuse:
    """Any status with any body."""

    status: int
    body: str = '{"error": {"message": "scripted"}}'
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    content_type: str = "application/json"


@dataclass(frozen=True)
class Disconnect:
    """Close the connection without an answer."""

    delay_s: float = 0.0


@dataclass(frozen=True)
class Hang:
    """Never answer, until the client or the server goes."""


@dataclass(frozen=True)
class Hold:
    """Answer when `until` says so: a test decides how long a call runs."""

    until: Callable[[], bool]


Step = Answer | Refuse | Disconnect | Hang | Hold
Script = Callable[[dict[str, Any]], Step | None]


def huge(characters: int) -> Answer:
    """An answer whose content has so many characters."""
    return Answer(content="x" * characters)


@dataclass(frozen=True)
class Call:
    """One chat completion that was asked for."""

    model: str
    prompt: str
    started_s: float
    """`time.monotonic()` of this machine."""
    authorization: bool
    """Whether there was an Authorization header; its value is not kept."""
    request: dict[str, Any]
    ended_s: float | None = None
    """None while it runs; set, too, when the client went away."""
    traceparent: str = ""
    """The header of that name."""


class ModelServer:
    """Serves on a thread of its own; a context manager.

    Args:
        port: 0 for a free one.
        delay_s: seconds before an answer: one number, one per model, or computed from
            the request.
        script: decides what happens to a request; None from it: a plain answer.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        delay_s: float | Mapping[str, float] | Callable[[dict[str, Any]], float] = 0.0,
        script: Script | None = None,
        models: tuple[str, ...] = (),
    ) -> None:
        self._port = port
        self._delay_s = delay_s
        self._script = script
        self._models = models
        self._steps: dict[str, deque[Step]] = {}
        self._lock = threading.Lock()
        self._calls: dict[int, Call] = {}
        self._in_flight: dict[str, int] = {}
        self._peaks: dict[str, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="model-server")
        self._started: Future[int] = Future()
        self._over: asyncio.Event | None = None

    @property
    def base_url(self) -> str:
        """Up to and with `/v1`."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls so far, in the order in which they began."""
        with self._lock:
            return tuple(self._calls.values())

    def in_flight(self, model: str | None = None) -> int:
        """Calls that run now, of one model or (None) of all."""
        with self._lock:
            return self._in_flight.get(_bucket(model), 0)

    def peak_in_flight(self, model: str | None = None) -> int:
        """The most calls that ever ran at once, of one model or (None) of all."""
        with self._lock:
            return self._peaks.get(_bucket(model), 0)

    def then(self, model: str, *steps: Step) -> None:
        """The next calls of this model go so, one step each, before the script."""
        with self._lock:
            self._steps.setdefault(model, deque()).extend(steps)

    def start(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        self._port = self._started.result(START_S)
        return self

    def stop(self) -> None:
        """End all connections and the thread; may be called twice."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end)
            self._thread.join(START_S)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- the thread -----------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_get("/health", self._health)
        # Cancelled handlers: a call ends when its client goes away.
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        try:
            await runner.setup()
            listening = socket.create_server(("127.0.0.1", self._port))
            await web.SockSite(runner, listening).start()
            self._started.set_result(runner.addresses[0][1])
            await self._over.wait()
            # asyncio's server leaks a connection that it accepts in the turn in which it
            # is closed. So none is accepted first; whoever was is known, and closed, then.
            asyncio.get_running_loop().remove_reader(listening)
            await _some_turns()
        except OSError as error:
            self._started.set_exception(error)
        finally:
            await runner.cleanup()
            await _some_turns()

    def _end(self) -> None:
        if self._over is not None:
            self._over.set()

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _list_models(self, _request: web.Request) -> web.Response:
        known = dict.fromkeys((*self._models, *(call.model for call in self.calls)))
        data = [{"id": name, "object": "model"} for name in known]
        return web.json_response({"object": "list", "data": data})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        model, prompt = str(asked.get("model")), _prompt(asked)
        number = self._begin(asked, model, prompt, request.headers)
        try:
            step = self._next_step(asked, model)
            return await self._carry_out(step, request, model, prompt)
        finally:
            self._finish(number, model)

    async def _carry_out(
        self, step: Step, request: web.Request, model: str, prompt: str
    ) -> web.StreamResponse:
        if isinstance(step, Hang):
            await self._over.wait()
            step = Disconnect()
        if isinstance(step, Hold):
            while not step.until():  # noqa: ASYNC110  (the test decides, in its thread)
                await asyncio.sleep(0.02)
            step = Answer()
        await asyncio.sleep(step.delay_s)
        if isinstance(step, Disconnect):
            request.transport.abort()
            raise asyncio.CancelledError
        if isinstance(step, Refuse):
            return web.Response(
                status=step.status,
                text=step.body,
                headers=step.headers,
                content_type=step.content_type,
            )
        return web.json_response(_completion(step, model, prompt))

    def _next_step(self, asked: dict[str, Any], model: str) -> Step:
        with self._lock:
            if steps := self._steps.get(model):
                return steps.popleft()
        step = self._script(asked) if self._script else None
        return step or Answer(delay_s=self._delay(asked, model))

    def _delay(self, asked: dict[str, Any], model: str) -> float:
        if callable(self._delay_s):
            return self._delay_s(asked)
        if isinstance(self._delay_s, Mapping):
            return self._delay_s.get(model, 0.0)
        return self._delay_s

    def _begin(
        self, asked: dict[str, Any], model: str, prompt: str, headers: Mapping[str, str]
    ) -> int:
        call = Call(
            model,
            prompt,
            time.monotonic(),
            authorization="Authorization" in headers,
            request=asked,
            traceparent=headers.get("traceparent", ""),
        )
        with self._lock:
            number = len(self._calls)
            self._calls[number] = call
            for bucket in (_bucket(model), _bucket(None)):
                running = self._in_flight.get(bucket, 0) + 1
                self._in_flight[bucket] = running
                self._peaks[bucket] = max(running, self._peaks.get(bucket, 0))
            return number

    def _finish(self, number: int, model: str) -> None:
        with self._lock:
            self._calls[number] = replace(self._calls[number], ended_s=time.monotonic())
            for bucket in (_bucket(model), _bucket(None)):
                self._in_flight[bucket] -= 1


async def _some_turns() -> None:
    for _ in range(CLOSING_TURNS):
        await asyncio.sleep(0)


def _bucket(model: str | None) -> str:
    return "all models" if model is None else f"model {model}"


def _prompt(asked: Mapping[str, Any]) -> str:
    """The last message's text; content parts as JSON."""
    messages = asked.get("messages") or [{}]
    content = messages[-1].get("content")
    return content if isinstance(content, str) else json.dumps(content)


def _completion(step: Answer, model: str, prompt: str) -> dict[str, Any]:
    content = f"{model} {digest(prompt)}" if step.content is None else step.content
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if step.tool_calls:
        message |= {"content": None, "tool_calls": step.tool_calls}
    prompt_tokens = max(1, len(prompt) // 4)
    return {
        "id": f"chatcmpl-{digest(prompt)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {"index": 0, "message": message, "finish_reason": step.finish_reason}
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": step.completion_tokens,
            "total_tokens": prompt_tokens + step.completion_tokens,
        },
    }
