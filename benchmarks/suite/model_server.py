"""The model server's process: answers each chat completion after a fixed delay.

It is as little as answers: no framework, the answer is made once. It notes when each
call began and ended; `GET /calls` hands that over, `POST /delay/MS` sets the delay.
Start: ``python -m benchmarks.suite.model_server``; it prints its port.
"""

import asyncio
import json
import re
import sys
import time

from benchmarks.suite import loop

ID = re.compile(rb"\[id:([^\]]{1,64})\]")
HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "word " * 80},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 80, "completion_tokens": 80, "total_tokens": 160},
}


def response(value: object) -> bytes:
    """Return a whole HTTP response."""
    body = json.dumps(value).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d"
    return head % len(body) + HEAD_END + body


class Model:
    """What the connections share: the delay, and what was called."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.calls: list[list] = []
        self.answer = response(ANSWER)

    def take_calls(self) -> list[list]:
        """Hand over what was called, and begin anew; a call that runs stays in both."""
        taken, self.calls = self.calls, []
        return taken


class Connection(asyncio.Protocol):
    """One client; its requests are answered one after the other, as HTTP/1.1 has it."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.buffer = b""
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        if self.timer:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(HEAD_END)) >= 0:
            head = self.buffer[:end]
            found = LENGTH.search(head)
            whole = end + len(HEAD_END) + (int(found[1]) if found else 0)
            if len(self.buffer) < whole:
                return
            body = self.buffer[end + len(HEAD_END) : whole]
            self.buffer = self.buffer[whole:]
            self.answer(head.split(b" ", 2), body)

    def answer(self, request: list[bytes], body: bytes) -> None:
        path = request[1]
        if path == b"/running":
            running = sum(not call[2] for call in self.model.calls)
            self.transport.write(response(running))
        elif path == b"/calls":
            self.transport.write(response(self.model.take_calls()))
        elif path.startswith(b"/delay/"):
            self.model.delay_s = float(path[7:]) / 1000
            self.transport.write(response({}))
        elif request[0] == b"GET":
            self.transport.write(response({"object": "list", "data": [{"id": "m"}]}))
        else:
            self.begin(body)

    def begin(self, body: bytes) -> None:
        found = ID.search(body)
        call = [found[1].decode() if found else "", time.monotonic_ns(), 0]
        self.model.calls.append(call)
        if self.model.delay_s:
            loop = asyncio.get_running_loop()
            self.timer = loop.call_later(self.model.delay_s, self.end, call)
        else:
            self.end(call)

    def end(self, call: list) -> None:
        self.timer = None
        call[2] = time.monotonic_ns()
        self.transport.write(self.model.answer)


async def serve() -> None:
    model = Model()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(model), "127.0.0.1", 0, backlog=1024
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    loop.run(serve())
