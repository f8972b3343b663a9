"""A thousand callers in one process share one client, with the real system behind it."""

import asyncio
from pathlib import Path

import pytest

from agentsched.client import AgentClient
from agentsched.types import Reply
from tests.support.model_server import ModelServer, digest
from tests.support.system import System

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

CALLERS = 500
"""Of each kind."""


def threads() -> list[str]:
    """Names of all threads of this process, librdkafka's too."""
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


async def ask_all(client: AgentClient) -> tuple[list[Reply], list[str]]:
    """The replies, and the threads while all of them were awaited."""
    asked = [
        asyncio.create_task(client.ask(f"coroutine {n}", priority="low"))
        for n in range(CALLERS)
    ]
    await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    meanwhile = threads()
    return await asyncio.gather(*asked), meanwhile


def test_all_are_answered_by_one_consumer_and_no_thread_for_a_call(tmp_path, kafka):
    with (
        ModelServer(delay_s=0.01) as server,
        System(tmp_path, kafka, server, {"m": 32}) as system,
    ):
        system.start()
        idle = threads()
        with AgentClient.of(system.settings) as client:
            assert client.request("the first one").status == "completed"
            with_one_caller = threads()
            submitted = [
                client.submit(f"submitted {n}", priority="high") for n in range(CALLERS)
            ]
            asked, with_all = asyncio.run(ask_all(client))
            replies = [future.result(60) for future in submitted]

        clients = with_one_caller.count("rdk:main") - idle.count("rdk:main")
        assert clients == 2  # of librdkafka: one producer, one consumer
        # Connections may come and go; callers do not count.
        assert abs(len(with_all) - len(with_one_caller)) < 5
        assert [reply.content for reply in replies] == [
            f"m {digest(f'submitted {n}')}" for n in range(CALLERS)
        ]
        assert [reply.content for reply in asked] == [
            f"m {digest(f'coroutine {n}')}" for n in range(CALLERS)
        ]
        assert len(server.calls) == 2 * CALLERS + 1
        assert threads().count("rdk:main") == idle.count("rdk:main")
