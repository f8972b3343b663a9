"""What the test stand itself can do: if it were slow, it would be what is measured."""

import asyncio
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from benchmarks.suite import loop
from benchmarks.suite.load import Load
from benchmarks.suite.numbers import NS_PER_MS, percentile
from benchmarks.suite.stand import Stand
from benchmarks.suite.usage import Usage

CONNECTIONS = 16
MODEL_S = 2.0
ECHO_S = 3.0
ECHO_PER_S = 50.0


def calibrate(stand: Stand) -> dict[str, float]:
    """Ask the model server from 16 connections; send records straight to the replies.

    Returns:
        calls/s and CPU ms of the model server (a lower bound: its client is as busy),
        and the latency of Kafka with the suite's own client.
    """
    return _model(stand) | _echo(stand)


def _model(stand: Stand) -> dict[str, float]:
    stand.model.set_delay(0)
    usage = Usage({"model": stand.model.child.pid})
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        rate = pool.submit(_calls_per_s, stand.model.base_url).result()
    cpu_s = usage.used_s()["model"]
    calls = len(stand.model.take_calls())
    return {"model_calls_per_s": rate, "model_cpu_ms": cpu_s * 1000 / calls}


def _calls_per_s(base_url: str) -> float:
    return loop.run(_ask_at_once(base_url))


async def _ask_at_once(base_url: str) -> float:
    address, _, path = base_url.removeprefix("http://").partition("/")
    host, port = address.split(":")
    body = b'{"model": "m", "messages": [{"role": "user", "content": "x"}]}'
    request = (
        f"POST /{path}/chat/completions HTTP/1.1\r\nHost: {address}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    end_s = time.monotonic() + MODEL_S

    async def ask() -> int:
        reader, writer = await asyncio.open_connection(host, int(port))
        count = 0
        while time.monotonic() < end_s:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.rsplit(b":", 1)[1]))
            count += 1
        writer.close()
        return count

    return sum(await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))) / MODEL_S


def _echo(stand: Stand) -> dict[str, float]:
    name = f"echo-{os.getpid()}"
    with (
        stand.topics([name]),
        Load(stand.kafka.bootstrap, {"medium": name}, name, ["m"]) as load,
    ):
        load.wait(load.send("medium", 20), 30)
        due = load.send("medium", round(ECHO_S * ECHO_PER_S), rate_per_s=ECHO_PER_S)
        load.wait(due, 30)
        took = [(load.first_at_ns(x) - at) / NS_PER_MS for x, at in due.items()]
    return {"kafka_p50_ms": percentile(took, 50), "kafka_p99_ms": percentile(took, 99)}
