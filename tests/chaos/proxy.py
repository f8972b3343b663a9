"""A TCP proxy with faults: cut, hole (one way or both), slow. One thread for all of them.

It forwards bytes and knows no protocol.
"""

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from typing import Self

CHUNK_BYTES = 65_536
START_S = 5.0
UP, DOWN = "up", "down"
"""From the client to the server, and back."""


class FaultProxy:
    """Stands before one server; a context manager.

    Args:
        target_port: of the server, on loopback.
        port: where clients connect.
    """

    def __init__(self, target_port: int, port: int) -> None:
        self.port = port
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._started: Future[None] = Future()
        self._over: asyncio.Event | None = None
        self._flow: dict[str, asyncio.Event] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self._delay_s = 0.0

    def cut(self) -> None:
        """Reset all connections, and every new one, until `heal`."""
        self._call(self._cut)

    def hole(self, *ways: str) -> None:
        """Swallow nothing and pass nothing on (UP, DOWN or both): a half-open link."""
        self._call(lambda: [self._flow[way].clear() for way in ways or (UP, DOWN)])

    def slow(self, delay_s: float) -> None:
        """Delay every chunk."""
        self._call(lambda: setattr(self, "_delay_s", delay_s))

    def heal(self) -> None:
        """Pass everything on again; what was held back arrives late."""
        self._call(self._heal)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result(START_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._cut)
        self._call(self._over.set)
        self._thread.join(START_S)

    # -- the thread ---------------------------------------------------------------

    def _call(self, act) -> None:
        asyncio.run_coroutine_threadsafe(_do(act), self._loop).result(START_S)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        self._flow = {way: asyncio.Event() for way in (UP, DOWN)}
        self._heal()
        try:
            server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        except OSError as error:
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        async with server:
            await self._over.wait()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _heal(self) -> None:
        self._is_cut, self._delay_s = False, 0.0
        for flow in self._flow.values():
            flow.set()

    def _cut(self) -> None:
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        ends = (writer, upstream[1])
        self._writers.update(ends)
        try:
            await asyncio.gather(
                self._pump(UP, reader, upstream[1]),
                self._pump(DOWN, upstream[0], writer),
            )
        finally:
            self._writers.difference_update(ends)
            for end in ends:
                end.transport.abort()

    async def _pump(
        self, way: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(CHUNK_BYTES):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._flow[way].wait()
                sink.write(chunk)
                await sink.drain()
        sink.close()


async def _do(act) -> None:
    act()
