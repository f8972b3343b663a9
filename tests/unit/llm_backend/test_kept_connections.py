"""A connection on which a server said what nobody asked is never used again (case A)."""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agentsched.errors import CallFailed, ErrorCode
from agentsched.llm_backend.kept_connections import CleanConnector
from agentsched.types import Message
from tests.support.tls import Authority
from tests.unit.llm_backend.raw_server import Connection as Handler
from tests.unit.llm_backend.raw_server import (
    RawServer,
    answering,
    http,
    raw_server,
    read_request,
)
from tests.unit.llm_backend.test_client import with_completer


def said(content: str) -> bytes:
    choice = {"message": {"content": content}, "finish_reason": "stop"}
    return http(json.dumps({"choices": [choice]}).encode())


def chunked(content: str) -> bytes:
    body = said(content).partition(b"\r\n\r\n")[2]
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


TIMEOUT = http(b"", "connection: close", status="408 Request Timeout")
UNASKED = {
    "a whole answer": said("FOREIGN"),
    "a chunked one": chunked("FOREIGN"),
    "a 408": TIMEOUT,
    "two answers": said("FOREIGN") + said("FOREIGN"),
    "the beginning of a head": said("FOREIGN")[:30],
    "one byte": b"H",
    "an empty line and a head's beginning": b"\r\n" + said("FOREIGN")[:30],
    "the beginning of a body": said("FOREIGN")[:-5],
    "an answer without a body": b"HTTP/1.1 204 No Content\r\n\r\n",
    "an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n",
}
"""What a server sends behind an answer, or on an idle connection."""
NO_HTTP = b"\x00\x01\x02\x03"


def ask_two_agents(
    *handlers: Callable[[socket.socket], None],
    between: Callable[[], None] | None = None,
) -> tuple[list[str | None], RawServer]:
    """One call of each of two agents, the second when `between` has come back."""

    async def both(ask: Callable[..., Coroutine[Any, Any, Any]]) -> list[str | None]:
        first = await ask(raw.base_url, Message(content="a", agent_id="anna"))
        if between:
            await asyncio.to_thread(between)
        second = await ask(raw.base_url, Message(content="b", agent_id="berta"))
        return [first.content, second.content]

    with raw_server(*handlers) as raw:
        answers = asyncio.run(with_completer(both))
    return answers, raw


@pytest.mark.parametrize(
    "whole", [said("four"), chunked("four")], ids=["sized", "chunked"]
)
@pytest.mark.parametrize("unasked", UNASKED.values(), ids=UNASKED)
def test_what_comes_in_one_piece_with_an_answer_is_nobodys(unasked, whole):
    answers, raw = ask_two_agents(answering(whole + unasked), answering(said("mine")))
    assert answers == ["four", "mine"]
    assert raw.connections == 2


def test_an_answer_with_no_http_behind_it_fails_and_soils_no_other():
    async def both(ask: Any) -> str | None:
        with pytest.raises(CallFailed, match="HTTP"):
            await ask(raw.base_url)
        return (await ask(raw.base_url)).content

    with raw_server(answering(said("four") + NO_HTTP), answering(said("mine"))) as raw:
        assert asyncio.run(with_completer(both)) == "mine"


@pytest.mark.parametrize(
    "unasked", [*UNASKED.values(), NO_HTTP], ids=[*UNASKED, "no HTTP"]
)
def test_what_comes_on_an_idle_connection_is_nobodys(unasked):
    idle, sent = threading.Event(), threading.Event()

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(said("four"))
        idle.wait(10)
        connection.sendall(unasked)
        sent.set()
        read_request(connection)

    def let_it_speak() -> None:
        idle.set()
        assert sent.wait(10)

    answers, raw = ask_two_agents(handle, answering(said("mine")), between=let_it_speak)
    assert answers == ["four", "mine"]
    assert raw.connections == 2


@pytest.mark.parametrize("unasked", UNASKED.values(), ids=UNASKED)
def test_what_the_loop_has_not_read_yet_is_nobodys(unasked):
    """The loop stands still while it arrives, and the next call begins at once."""
    idle, sent = threading.Event(), threading.Event()

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(said("four"))
        idle.wait(10)
        connection.sendall(unasked)
        sent.set()
        read_request(connection)

    async def both(ask: Any) -> list[str | None]:
        first = await ask(raw.base_url)
        idle.set()
        assert sent.wait(10)  # blocks the loop
        second = await ask(raw.base_url)
        return [first.content, second.content]

    with raw_server(handle, answering(said("mine"))) as raw:
        assert asyncio.run(with_completer(both)) == ["four", "mine"]
        assert raw.connections == 2


@pytest.mark.parametrize("unasked", UNASKED.values(), ids=UNASKED)
def test_what_comes_after_the_connection_is_taken_is_nobodys(unasked, monkeypatch):
    asked: list[bytes] = []
    taken, sent = threading.Event(), threading.Event()
    take = CleanConnector.connect

    async def take_slowly(*args: Any, **options: Any) -> Any:
        connection = await take(*args, **options)
        if asked and not taken.is_set():
            taken.set()
            assert sent.wait(10)  # blocks the loop
        return connection

    def handle(connection: socket.socket) -> None:
        asked.append(read_request(connection))
        connection.sendall(said("four"))
        taken.wait(10)
        connection.sendall(unasked)
        sent.set()
        read_request(connection)

    monkeypatch.setattr(CleanConnector, "connect", take_slowly)
    answers, _ = ask_two_agents(handle, answering(said("mine")))
    assert answers == ["four", "mine"]


def test_the_rest_of_a_begun_answer_reaches_nobody():
    """The beginning came with the answer before; the rest comes after the next request."""
    foreign = said("FOREIGN")

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(said("four") + foreign[:40])
        if read_request(connection):
            connection.sendall(b"\r\n\r\n" + foreign)

    answers, _ = ask_two_agents(handle, answering(said("mine")))
    assert answers == ["four", "mine"]


def test_after_an_error_too_an_unasked_answer_is_nobodys():
    refusal = http(b"{}", status="503 Unavailable") + said("FOREIGN")

    async def both(ask: Any) -> str | None:
        with pytest.raises(CallFailed):
            await ask(raw.base_url)
        return (await ask(raw.base_url)).content

    with raw_server(answering(refusal), answering(said("mine"))) as raw:
        assert asyncio.run(with_completer(both)) == "mine"


def test_a_connection_that_is_replaced_counts_as_no_second_call():
    async def both(ask: Any) -> int:
        await ask(raw.base_url)
        return (await ask(raw.base_url)).resent

    with raw_server(answering(said("a") + said("b")), answering(said("c"))) as raw:
        assert asyncio.run(with_completer(both)) == 0


def test_several_soiled_connections_are_all_passed_over():
    async def all_of_them(ask: Any) -> list[str | None]:
        await asyncio.gather(*(ask(raw.base_url) for _ in range(3)))
        return [(await ask(raw.base_url)).content for _ in range(3)]

    soiled = [answering(said("a") + said("FOREIGN"))] * 3
    mine = answering(*[said("mine")] * 3)
    with raw_server(*soiled, mine) as raw:
        assert asyncio.run(with_completer(all_of_them)) == ["mine"] * 3
        assert raw.connections == 4


def test_who_speaks_before_it_is_asked_is_not_asked():
    spoken = threading.Event()

    def handle(connection: socket.socket) -> None:
        connection.sendall(said("FOREIGN"))
        spoken.set()
        read_request(connection)

    async def ask_late(ask: Any) -> None:
        loop = asyncio.get_running_loop()
        connect = loop.create_connection

        async def slowly(*args: Any, **options: Any) -> Any:
            made = await connect(*args, **options)
            await asyncio.to_thread(spoken.wait, 10)
            return made

        loop.create_connection = slowly
        await ask(raw.base_url)

    with raw_server(handle) as raw, pytest.raises(CallFailed) as caught:
        asyncio.run(with_completer(ask_late))
    assert caught.value.code is ErrorCode.MODEL_UNAVAILABLE
    assert "it spoke before it was asked" in caught.value.detail


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def encrypted(authority, monkeypatch) -> Callable[[Handler], Handler]:
    """Puts TLS before a handler; calls trust its certificate."""
    trusting = ssl.create_default_context(cafile=str(authority.ca))
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)

    def with_tls(handler: Handler) -> Handler:
        def handle(connection: socket.socket) -> None:
            context = authority.server_context()
            with context.wrap_socket(connection, server_side=True) as inner:
                handler(inner)

        return handle

    return with_tls


def over_tls(raw: RawServer) -> str:
    return raw.base_url.replace("http:", "https:")


def test_a_connection_with_tls_is_kept(encrypted):
    async def thrice(ask: Any) -> list[str | None]:
        return [(await ask(over_tls(raw))).content for _ in range(3)]

    with raw_server(encrypted(answering(said("a"), said("b"), said("c")))) as raw:
        assert asyncio.run(with_completer(thrice)) == ["a", "b", "c"]
        assert raw.connections == 1


@pytest.mark.parametrize("stands_still", [False, True], ids=["read", "unread"])
@pytest.mark.parametrize("unasked", [said("FOREIGN"), b"H"], ids=["answer", "byte"])
def test_what_comes_on_an_idle_connection_with_tls_is_nobodys(
    unasked, stands_still, encrypted
):
    idle, sent = threading.Event(), threading.Event()

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(said("four"))
        idle.wait(10)
        connection.sendall(unasked)
        sent.set()
        read_request(connection)

    async def both(ask: Any) -> list[str | None]:
        first = await ask(over_tls(raw))
        idle.set()
        if stands_still:
            assert sent.wait(10)  # blocks the loop
        else:
            assert await asyncio.to_thread(sent.wait, 10)
        second = await ask(over_tls(raw))
        return [first.content, second.content]

    mine = encrypted(answering(said("mine")))
    with raw_server(encrypted(handle), mine) as raw:
        assert asyncio.run(with_completer(both)) == ["four", "mine"]
        assert raw.connections == 2
