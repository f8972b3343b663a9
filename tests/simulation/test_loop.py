"""Coroutines on simulated time: asyncio's own, however often the thread changes hands."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from tests.simulation.loop import SimLoop, SimThreads
from tests.simulation.world import START_MS, Process, World

LATER_MS = 100_000


@pytest.fixture(name="world")
def _world() -> World:
    return World(seed=1)


class Running:
    """A process with a loop, from its start."""

    def __init__(
        self, world: World, work: Callable[[], Coroutine[Any, Any, Any]], name="one"
    ) -> None:
        self.process: Process = world.start(name)
        self.loop = SimLoop(world, self.process)
        self.ended: list[Any] = []
        world.spawn(self.process, lambda: self._run(work))

    def _run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self.ended.append(self.loop.run_until_complete(work()))
        self.loop.close()


def run(world: World) -> None:
    world.run(world.now_ms + LATER_MS)


def test_sleeps_end_in_the_order_of_their_times(world: World):
    ended: list[tuple[int, int]] = []

    async def sleep(ms: int) -> None:
        await asyncio.sleep(ms / 1000)
        ended.append((ms, world.now_ms - START_MS))

    async def work() -> None:
        await asyncio.gather(*(sleep(ms) for ms in (700, 3, 0, 250)))

    Running(world, work)
    run(world)
    assert ended == [(0, 0), (3, 3), (250, 250), (700, 700)]


def test_a_time_out_ends_what_takes_too_long(world: World):
    async def work() -> str:
        try:
            async with asyncio.timeout(1.5):
                await asyncio.Event().wait()
        except TimeoutError:
            return f"after {world.now_ms - START_MS} ms"
        return "never"

    one = Running(world, work)
    run(world)
    assert one.ended == ["after 1500 ms"]


def test_what_is_cancelled_cleans_up_first(world: World):
    seen: list[str] = []

    async def call() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.2)
            seen.append(f"clean after {world.now_ms - START_MS} ms")

    async def work() -> None:
        task = asyncio.create_task(call())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        seen.append(f"cancelled {task.cancelled()}")

    Running(world, work)
    run(world)
    assert seen == ["clean after 1200 ms", "cancelled True"]


def test_another_task_of_the_process_wakes_a_loop_that_sleeps(world: World):
    async def work() -> int:
        rung = asyncio.Event()
        loop = asyncio.get_running_loop()
        ring = partial(loop.call_soon_threadsafe, rung.set)
        world.after(40, lambda _: world.spawn(one.process, ring))
        await rung.wait()
        return world.now_ms - START_MS

    one = Running(world, work)
    run(world)
    assert one.ended == [40]


def test_a_thread_does_one_piece_of_work_after_the_other(world: World):
    async def work() -> int:
        loop = asyncio.get_running_loop()
        thread = SimThreads(world, one.process)
        sleep = [loop.run_in_executor(thread, world.sleep, ms) for ms in (300, 20, 5)]
        await asyncio.gather(*sleep)
        return world.now_ms - START_MS

    one = Running(world, work)
    run(world)
    assert one.ended == [325]


def test_what_fails_in_a_thread_fails_where_it_is_awaited(world: World):
    def fail() -> None:
        world.sleep(1)
        raise LookupError("nobody")

    async def work() -> str:
        try:
            await asyncio.get_running_loop().run_in_executor(None, fail)
        except LookupError as error:
            return f"{error}"
        return "nothing"

    one = Running(world, work)
    run(world)
    assert one.ended == ["nobody"]


def test_a_killed_process_ends_in_the_middle_of_everything(world: World):
    seen: list[str] = []

    async def busy(name: str) -> None:
        try:
            for _ in range(1_000):
                await asyncio.sleep(0.001)
                world.boundary()
        finally:
            seen.append(f"{name} ends")

    async def patient() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("patient ends")
            await asyncio.sleep(1)
            seen.append("goes on")

    async def work() -> None:
        await asyncio.gather(busy("first"), patient(), busy("second"))

    one = Running(world, work)
    world.after(50, lambda _: world.kill(one.process))
    world.after(51, lambda _: seen.append("after it"))
    run(world)
    assert seen[-1] == "after it"
    assert sorted(seen[:-1]) == ["first ends", "patient ends", "second ends"]
    assert one.ended == []
    assert one.loop.is_closed()
    assert world.bugs == []


def test_a_process_that_sleeps_does_nothing_and_is_late_afterwards(world: World):
    ticks: list[int] = []

    async def work() -> None:
        for _ in range(4):
            await asyncio.sleep(0.01)
            ticks.append(world.now_ms - START_MS)

    one = Running(world, work)
    world.after(25, lambda _: world.pause(one.process, 500))
    run(world)
    assert ticks == [10, 20, 525, 535]


def test_loops_in_one_thread_do_not_see_each_other(world: World):
    """Each parks in the middle of its coroutines, with the thread for its own."""

    async def look(loop: Any, name: str) -> None:
        for _ in range(20):
            task = asyncio.current_task()
            world.boundary()
            assert asyncio.get_running_loop() is loop
            assert asyncio.current_task() is task
            assert task is not None
            assert task.get_name() == name
            await asyncio.sleep(0.001)

    async def work() -> str:
        loop = asyncio.get_running_loop()
        looks = [
            asyncio.create_task(look(loop, name), name=name) for name in ("a", "b")
        ]
        await asyncio.gather(*looks)
        return "done"

    both = [Running(world, work, name) for name in ("one", "two")]
    run(world)
    assert [one.ended for one in both] == [["done"], ["done"]]
    assert world.bugs == []
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_an_error_that_nobody_takes_is_a_bug(world: World):
    async def fail() -> None:
        raise LookupError("lost")

    async def work() -> None:
        task = asyncio.create_task(fail())
        await asyncio.sleep(0.01)
        del task

    Running(world, work)
    run(world)
    assert any("LookupError('lost')" in bug for bug in world.bugs)
