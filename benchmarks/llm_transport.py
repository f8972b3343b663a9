"""Measures what one LLM call costs over two HTTP transports; decides nothing.

Run ``python benchmarks/llm_transport.py``; it takes less than a minute. The server runs
in a process of its own and answers each call after 20 ms with 1.5 KB. The figures
behind `docs/decisions/0003-llm-transport.md` come from here.
"""

import asyncio
import json
import multiprocessing
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection

import aiohttp
import httpx

ANSWER_DELAY_S = 0.02
SECONDS_PER_CASE = 3.0
CONCURRENT_CALLS = (4, 16, 64)
BODY = {
    "model": "bench",
    "messages": [{"role": "user", "content": "word " * 200}],
    "stream": False,
}
ANSWER = json.dumps(
    {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "word " * 280},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 200, "completion_tokens": 280},
    }
).encode()
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n" % len(ANSWER)
)

Call = Callable[[], Awaitable[None]]


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            await reader.readexactly(length)
            await asyncio.sleep(ANSWER_DELAY_S)
            writer.write(HEAD + ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def serve(pipe: Connection) -> None:
    """Serve until the process is ended; sends its port through the pipe first."""

    async def run() -> None:
        server = await asyncio.start_server(_answer, "127.0.0.1", 0, backlog=256)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@asynccontextmanager
async def over_httpx(url: str) -> AsyncIterator[Call]:
    """Plain httpx: httpcore's connection pool."""
    limits = httpx.Limits(max_connections=100, keepalive_expiry=3)
    async with httpx.AsyncClient(limits=limits, trust_env=False, timeout=30) as client:

        async def call() -> None:
            response = await client.post(url, json=BODY)
            response.json()

        yield call


@asynccontextmanager
async def over_aiohttp(url: str) -> AsyncIterator[Call]:
    """Raw aiohttp, which workers use."""
    async with aiohttp.ClientSession() as session:

        async def call() -> None:
            async with session.post(url, json=BODY) as response:
                json.loads(await response.read())

        yield call


TRANSPORTS = {
    "httpx": over_httpx,
    "aiohttp": over_aiohttp,
}


async def measure(call: Call, concurrent: int) -> tuple[float, float]:
    """Return CPU milliseconds per call of this process, and calls per second."""
    await asyncio.gather(*(call() for _ in range(concurrent)))  # opens the connections
    calls = 0
    end = time.monotonic() + SECONDS_PER_CASE

    async def one_after_another() -> None:
        nonlocal calls
        while time.monotonic() < end:
            await call()
            calls += 1

    cpu, start = time.process_time(), time.monotonic()
    await asyncio.gather(*(one_after_another() for _ in range(concurrent)))
    cpu, elapsed = time.process_time() - cpu, time.monotonic() - start
    return cpu * 1000 / calls, calls / elapsed


async def compare(url: str) -> None:
    print(
        f"{'calls at once':>13}  {'transport':22} {'CPU ms/call':>11} {'calls/s':>8}  CPU against httpx"
    )
    for concurrent in CONCURRENT_CALLS:
        plain_ms = 0.0
        for name, transport in TRANSPORTS.items():
            async with transport(url) as call:
                cpu_ms, rate = await measure(call, concurrent)
            plain_ms = plain_ms or cpu_ms
            print(
                f"{concurrent:>13}  {name:22} {cpu_ms:>11.2f} {rate:>8.0f}"
                f"  {cpu_ms / plain_ms:.2f}"
            )


def main() -> None:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs,), daemon=True
    )
    server.start()
    try:
        asyncio.run(compare(f"http://127.0.0.1:{ours.recv()}/v1/chat/completions"))
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
