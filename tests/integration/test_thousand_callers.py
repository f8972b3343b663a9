"""A thousand callers in one process share one client, with the real system behind it."""

import asyncio
import threading
from pathlib import Path

import pytest

from agentsched.client import AgentClient, ReplyTimeout, RequestFailed
from agentsched.types import Reply
from tests.support.model_server import Answer, Hold, ModelServer, digest
from tests.support.system import System
from tests.support.waiting import eventually

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


@pytest.fixture(scope="module")
def system(tmp_path_factory, kafka):
    def held(asked):
        is_held = asked["messages"][-1]["content"] == "hold"
        return Answer(delay_s=600 if is_held else 0.01)

    root = tmp_path_factory.mktemp("callers")
    with (
        ModelServer(script=held) as server,
        System(root, kafka, server, {"m": 32}) as system,
    ):
        yield system.start()


def test_all_are_answered_by_one_consumer_and_no_thread_for_a_call(system):
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
    assert len(system.server.calls) == 2 * CALLERS + 1
    assert threads().count("rdk:main") == idle.count("rdk:main")


def test_what_is_cancelled_by_its_id_fails_and_its_call_is_broken_off(system):
    with AgentClient.of(system.settings) as client:
        future = client.submit("hold", correlation_id="c-1")
        eventually(lambda: system.server.in_flight("m") == 1, timeout_s=30)
        client.cancel("c-1").result(20)
        with pytest.raises(RequestFailed, match="CANCELLED"):
            future.result(30)
        eventually(lambda: system.server.in_flight("m") == 0, timeout_s=30)


def test_a_coroutine_that_gives_up_has_its_call_broken_off(system):
    async def give_up(client):
        asking = asyncio.create_task(client.ask("hold"))
        await asyncio.to_thread(
            eventually, lambda: system.server.in_flight("m") == 1, timeout_s=30
        )
        asking.cancel()

    with AgentClient.of(system.settings) as client:
        asyncio.run(give_up(client))
        eventually(lambda: system.server.in_flight("m") == 0, timeout_s=30)


def test_after_a_time_out_the_same_request_gets_its_reply_without_a_second_call(
    system,
):
    over = threading.Event()
    options = {"correlation_id": "again", "ttl_s": 60}
    with AgentClient.of(system.settings) as client:
        client.request("the first one")  # from now on the client is open
        before = len(system.server.calls)
        system.server.then("m", Hold(over.is_set))
        with pytest.raises(ReplyTimeout):
            client.request("patience", timeout_s=1, **options)
        over.set()
        assert client.request("patience", timeout_s=30, **options).status == "completed"
    assert len(system.server.calls) == before + 1
