"""One call over HTTP, with every way in which a server can misbehave."""

import asyncio
import gzip
import json
import resource
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from agentsched.config.settings import EndpointSettings
from agentsched.errors import CallFailed, ErrorCode
from agentsched.llm_backend.client import HttpCompleter
from agentsched.protocols import Completion
from agentsched.types import Message
from tests.support.model_server import Answer, Disconnect, Hang, ModelServer, Refuse
from tests.support.requests import settings
from tests.support.waiting import eventually
from tests.unit.llm_backend.raw_server import (
    answering,
    closing_after,
    http,
    raw_server,
    read_request,
)

REQUEST = Message(content="2+2?")
OK = http(
    json.dumps(
        {"choices": [{"message": {"content": "four"}, "finish_reason": "stop"}]}
    ).encode()
)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


def call(
    base_url: str, request: Message = REQUEST, timeout_s: float = 10, **changes: Any
) -> Completion:
    """One call of a fresh completer."""
    return asyncio.run(
        with_completer(lambda ask: ask(base_url, request, timeout_s), **changes)
    )


async def with_completer(
    work: Callable[..., Coroutine[Any, Any, Any]],
    environ: dict[str, str] | None = None,
    key_env: str | None = None,
    **changes: Any,
) -> Any:
    completer = HttpCompleter(settings(**changes), environ or {})

    async def ask(
        base_url: str, request: Message = REQUEST, timeout_s: float = 10
    ) -> Completion:
        endpoint = EndpointSettings(base_url=base_url, api_key_env=key_env)
        return await completer.complete(endpoint, "m", request, timeout_s)

    try:
        return await work(ask)
    finally:
        await completer.close()


def failure(base_url: str, **options: Any) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        call(base_url, **options)
    return caught.value


def test_an_answer_has_content_usage_and_reason(server: ModelServer) -> None:
    server.then("m", Answer(content="four", completion_tokens=9))
    completion = call(server.base_url)
    assert (completion.content, completion.finish_reason) == ("four", "stop")
    assert completion.completion_tokens == 9


def test_the_duration_of_the_call_is_measured(server: ModelServer) -> None:
    server.then("m", Answer(delay_s=0.2))
    began_s = time.monotonic()
    model_s = call(server.base_url).model_s
    assert 0.2 <= model_s <= time.monotonic() - began_s


def test_without_a_key_no_authorization_is_sent(server: ModelServer) -> None:
    call(server.base_url)
    assert not server.calls[0].authorization


def test_a_key_is_sent(server: ModelServer) -> None:
    call(server.base_url, environ={"KEY": " sk-1\n"}, key_env="KEY")
    assert server.calls[0].authorization


def test_the_trace_of_a_request_is_sent_where_it_has_one(server: ModelServer) -> None:
    async def twice(_ask: Any) -> None:
        completer = HttpCompleter(settings(), {})
        endpoint = EndpointSettings(base_url=server.base_url, api_key_env=None)
        await completer.complete(endpoint, "m", REQUEST, 10, "00-1-2-01")
        await completer.complete(endpoint, "m", REQUEST, 10)
        await completer.close()

    asyncio.run(with_completer(twice))
    assert [call.traceparent for call in server.calls] == ["00-1-2-01", ""]


def test_a_missing_key_is_no_call_and_names_nothing(server: ModelServer) -> None:
    error = failure(server.base_url, key_env="MY_KEY")
    assert error.code is ErrorCode.MODEL_MISCONFIGURED
    assert "MY_KEY" not in error.detail
    assert server.calls == ()


def test_a_refusal_has_code_and_no_text_of_the_server(server: ModelServer) -> None:
    body = {"error": {"message": "you said: 2+2?", "code": "rate_limit_exceeded"}}
    server.then("m", Refuse(429, json.dumps(body), {"retry-after": "12"}))
    error = failure(server.base_url)
    assert error.code is ErrorCode.MODEL_UNAVAILABLE
    assert error.retryable
    assert error.detail.endswith("(rate_limit_exceeded) and asks to wait 12 s")


def test_a_redirect_is_not_followed(server: ModelServer) -> None:
    moved = {"location": f"{server.base_url}/chat/completions"}
    server.then("m", Refuse(307, "", headers=moved))
    assert failure(server.base_url).code is ErrorCode.MODEL_MISCONFIGURED
    assert len(server.calls) == 1


def test_cookies_of_a_server_are_not_sent_back() -> None:
    seen: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        for _ in range(2):
            seen.append(read_request(connection))
            connection.sendall(OK.replace(b"\r\n", b"\r\nset-cookie: a=b\r\n", 1))

    async def twice(ask: Any) -> None:
        await ask(raw.base_url)
        await ask(raw.base_url)

    with raw_server(handle) as raw:
        asyncio.run(with_completer(twice))
    assert [b"cookie:" in request.lower() for request in seen] == [False, False]


def test_a_proxy_of_the_environment_is_not_used(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert call(server.base_url).content


def test_a_server_that_is_not_there_is_unavailable() -> None:
    error = failure("http://127.0.0.1:1/v1")
    assert (error.code, error.retryable) == (ErrorCode.MODEL_UNAVAILABLE, True)


def test_a_connection_that_closes_without_an_answer_is_one_call(
    server: ModelServer,
) -> None:
    server.then("m", Disconnect())
    assert failure(server.base_url).code is ErrorCode.MODEL_UNAVAILABLE
    assert len(server.calls) == 1


def test_a_stale_connection_is_replaced_in_place() -> None:
    async def twice(ask: Any) -> list[Completion]:
        return [await ask(raw.base_url), await ask(raw.base_url)]

    with raw_server(closing_after(OK), answering(OK)) as raw:
        first, second = asyncio.run(with_completer(twice))
    assert second.content == "four"
    assert (first.resent, second.resent) == (0, 1)


def test_a_connection_is_replaced_once_only() -> None:
    async def twice(ask: Any) -> None:
        await ask(raw.base_url)
        await ask(raw.base_url)

    with raw_server(closing_after(OK), closing_after(), answering(OK)) as raw:
        with pytest.raises(CallFailed) as caught:
            asyncio.run(with_completer(twice))
        assert caught.value.resent == 1
        assert raw.connections == 2
        socket.create_connection(raw._socket.getsockname()).close()


def test_an_answer_that_breaks_off_is_not_asked_for_again() -> None:
    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(OK[:-5])

    async def ask_both(ask: Any) -> None:
        await ask(raw.base_url)
        await ask(raw.base_url)

    def kept(connection: socket.socket) -> None:
        answering(OK)(connection)
        handle(connection)

    with raw_server(kept) as raw, pytest.raises(CallFailed, match="broke off"):
        asyncio.run(with_completer(ask_both))


def test_what_is_no_http_is_invalid() -> None:
    with raw_server(answering(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")) as raw:
        assert failure(raw.base_url).code is ErrorCode.UPSTREAM_INVALID


def test_an_answer_without_end_is_left_after_the_limit() -> None:
    sent = [0]

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n")
        while True:
            sent[0] += connection.send(b"x" * 65536)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with raw_server(handle) as raw:
        error = failure(raw.base_url, limits={"reply_max_bytes": 1024})
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert error.code is ErrorCode.REPLY_TOO_LARGE
    assert sent[0] < 64 * 1024 * 1024
    assert (after - before) * 1024 < 64 * 1024 * 1024


def test_an_error_without_end_is_left_after_the_limit() -> None:
    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 500 Oops\r\ncontent-length: 1073741824\r\n\r\n")
        while True:
            connection.send(b"x" * 65536)

    with raw_server(handle) as raw:
        assert failure(raw.base_url).code is ErrorCode.MODEL_UNAVAILABLE


def test_a_compressed_answer_is_refused_unpacked() -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    with raw_server(answering(http(bomb, "content-encoding: gzip"))) as raw:
        assert failure(raw.base_url).code is ErrorCode.UPSTREAM_INVALID


def test_compression_is_not_asked_for() -> None:
    seen: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        seen.append(read_request(connection))
        connection.sendall(OK)

    with raw_server(handle) as raw:
        call(raw.base_url)
    assert b"accept-encoding: identity" in seen[0].lower()


def test_the_time_limit_covers_an_answer_that_drips() -> None:
    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
        connection.recv(1)  # until the client goes away

    with raw_server(handle) as raw:
        error = failure(raw.base_url, timeout_s=0.3)
    assert (error.code, error.retryable) == (ErrorCode.DEADLINE_EXCEEDED, True)


def test_the_time_limit_covers_silence(server: ModelServer) -> None:
    server.then("m", Hang())
    assert failure(server.base_url, timeout_s=0.3).code is ErrorCode.DEADLINE_EXCEEDED
    eventually(lambda: server.in_flight() == 0, message="the connection is closed")


def test_no_time_at_all_is_a_deadline(server: ModelServer) -> None:
    assert failure(server.base_url, timeout_s=0).code is ErrorCode.DEADLINE_EXCEEDED


def test_a_cancelled_call_closes_its_connection(server: ModelServer) -> None:
    server.then("m", Hang())

    async def cancel(ask: Any) -> None:
        task = asyncio.create_task(ask(server.base_url))
        begun = lambda: server.in_flight() == 1  # noqa: E731
        await asyncio.to_thread(eventually, begun)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # While the client is open: it is the call that closes the connection.
        await asyncio.to_thread(eventually, lambda: server.in_flight() == 0)

    asyncio.run(with_completer(cancel))
    assert server.calls[0].ended_s is not None


def test_a_connection_serves_one_call_after_the_other() -> None:
    async def thrice(ask: Any) -> None:
        for _ in range(3):
            await ask(raw.base_url)

    with raw_server(answering(OK, OK, OK)) as raw:
        asyncio.run(with_completer(thrice))
        assert raw.connections == 1


def test_a_connection_is_kept_also_after_a_refusal() -> None:
    refusal = http(b'{"error":{"code":"slow_down"}}', status="429 Too Many")

    async def twice(ask: Any) -> None:
        with pytest.raises(CallFailed):
            await ask(raw.base_url)
        await ask(raw.base_url)

    with raw_server(answering(refusal, OK)) as raw:
        asyncio.run(with_completer(twice))
        assert raw.connections == 1
