"""The head of an answer, and the connection below it: whatever comes, it is typed."""

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from agentsched.errors import CallFailed, ErrorCode
from agentsched.types import Message
from tests.support.tls import Authority, TlsFront
from tests.unit.llm_backend.raw_server import (
    Connection,
    answering,
    http,
    raw_server,
)
from tests.unit.llm_backend.test_client import OK, call, failure

BODY = OK.partition(b"\r\n\r\n")[2]


def headed(*lines: bytes, body: bytes = BODY) -> bytes:
    return b"\r\n".join([*lines, b"content-length: %d" % len(body), b"", body])


@pytest.mark.parametrize("size", [9_000, 60_000])
def test_a_long_header_costs_no_answer(size):
    """Case P: BentoML #4346."""
    with raw_server(answering(http(BODY, f"x-trace: {'x' * size}"))) as raw:
        assert call(raw.base_url).content == "four"


def test_many_headers_cost_no_answer():
    """Case P: BentoML #4346."""
    many = [f"set-cookie: a{n}=b" for n in range(200)]
    with raw_server(answering(http(BODY, *many))) as raw:
        assert call(raw.base_url).content == "four"


def test_a_header_without_end_is_named():
    with raw_server(answering(http(BODY, f"x-trace: {'x' * 70_000}"))) as raw:
        error = failure(raw.base_url)
    assert error.code is ErrorCode.UPSTREAM_INVALID
    assert "a header of its answer is longer than 64 KiB" in error.detail


@pytest.mark.parametrize(
    "head",
    [
        [b"HTTP/1.1 200 \xff\xfe"],
        [b"HTTP/1.1 200"],
        [b"HTTP/1.1 200 " + b"x" * 9_000],
        [b"HTTP/1.1 200 OK", b"x-a: \xff\xfe"],
        [b"HTTP/1.1 200 OK", b"set-cookie: \xff=;;;=\x80"],
        [b"HTTP/1.1 200 OK", b"content-type: \xff; charset=nosuch"],
        [b"HTTP/1.1 200 OK", b"date: \xff", b"link: <<<>", b"retry-after: \xff"],
        [b"HTTP/1.1 201 Created", b"location: http://[::1"],
        [b"HTTP/1.0 200 OK"],
        [b"HTTP/1.1 200 OK", b"content-encoding: Identity"],
        [b"HTTP/1.1 200 OK", b"content-encoding:"],
        [b"HTTP/1.1 200 OK", b"connection: upgrade", b"upgrade: h2c"],
        [b"HTTP/1.1 103 Early Hints", b"link: x", b"", b"HTTP/1.1 200 OK"],
    ],
    ids=lambda head: repr(head)[:60],
)
def test_an_odd_head_costs_no_answer(head):
    with raw_server(answering(headed(*head))) as raw:
        assert call(raw.base_url).content == "four"


@pytest.mark.parametrize(
    "head",
    [
        [b"HTTP/1.1 307 Moved", b"location: http://[::1"],
        [b"HTTP/1.1 307 Moved", b"location: \xff\xfe://"],
        [b"HTTP/1.1 307 Moved"],
        [b"HTTP/1.1 99 What"],
        [b"HTTP/1.1 000 What"],
        [b"HTTP/1.1 1000 What"],
        [b"HTTP/9.9 200 OK"],
        [b"HTTP/1.1 200 OK", b"content-length: -1"],
        [b"HTTP/1.1 200 OK", b"content-length: 9" + b"9" * 30],
        [b"HTTP/1.1 200 OK", b"transfer-encoding: nosuch"],
        [b"HTTP/1.1 200 OK", b"no colon"],
        [b"HTTP/1.1 101 Switching Protocols", b"upgrade: x", b"connection: upgrade"],
    ],
    ids=lambda head: repr(head)[:60],
)
def test_a_head_that_is_none_is_a_typed_failure(head):
    with raw_server(answering(headed(*head, body=b""))) as raw:
        failure(raw.base_url)


def abruptly(*pieces: bytes) -> Connection:
    """Answer before the request is read, and end the connection by a reset."""

    def handle(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    return handle


@pytest.mark.parametrize("pieces", [(), (OK,), (OK[:-5],), (b"HT",)], ids=str)
def test_an_answer_before_the_request_is_read_ends_typed(pieces):
    request = Message(content="x" * 1_000_000)
    with raw_server(abruptly(*pieces)) as raw, suppress(CallFailed):
        call(raw.base_url, request)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def front(authority: Authority) -> Iterator[TlsFront]:
    with raw_server(answering(OK)) as raw:
        port = int(raw.base_url.rpartition(":")[2].removesuffix("/v1"))
        with TlsFront(authority, port) as front:
            yield front


def test_a_certificate_that_nobody_trusts_is_named(front: TlsFront):
    """Case U: Open-WebUI-Functions #54."""
    error = failure(f"https://127.0.0.1:{front.port}/v1")
    assert (error.code, error.retryable) == (ErrorCode.MODEL_MISCONFIGURED, False)
    assert "certificate is not trusted" in error.detail
    assert "SSL_CERT_FILE" in error.detail


def test_the_advice_to_trust_a_certificate_is_true(front, authority):
    code = (
        "from tests.unit.llm_backend.test_client import call;"
        f"print(call('https://127.0.0.1:{front.port}/v1').content)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"SSL_CERT_FILE": str(authority.ca)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stdout == "four\n", done.stderr


@pytest.mark.parametrize(
    ("base_url", "code", "words"),
    [
        ("http://127.0.0.1:1/v1", "MODEL_UNAVAILABLE", "nothing listens"),
        ("http://no-such-host.invalid/v1", "MODEL_UNAVAILABLE", "name is not known"),
    ],
)
def test_why_a_server_is_not_reached_is_said(base_url, code, words):
    error = failure(base_url)
    assert (error.code, words in error.detail) == (code, True)


def test_a_server_without_tls_is_named():
    def speak_plainly(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with raw_server(speak_plainly) as raw:
        error = failure(raw.base_url.replace("http:", "https:"))
    assert error.code is ErrorCode.MODEL_MISCONFIGURED
    assert "it speaks no TLS there" in error.detail


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_that_is_not_used_is_named_where_it_may_be_the_reason(name, caplog):
    """Case U: Open-WebUI-Functions #54."""
    proxy = {name: "http://user:SECRET@proxy:3128"}
    error = failure("http://127.0.0.1:1/v1", environ=proxy)
    said = f"{name.upper()} is set, but call"
    assert said in error.detail
    assert said in caplog.text
    assert "SECRET" not in error.detail + caplog.text


def test_a_redirect_is_said_to_be_one():
    """Case U: Open-WebUI-Functions #54."""
    moved = http(b"", "location: https://x/v1", status="307 Temporary Redirect")
    with raw_server(answering(moved)) as raw:
        error = failure(raw.base_url)
    assert (error.code, error.retryable) == (ErrorCode.MODEL_MISCONFIGURED, False)
    assert "HTTP 307, a redirect" in error.detail
    assert "set `base_url`" in error.detail


def test_a_stream_that_nobody_asked_for_is_named():
    """Case U: Open-WebUI-Functions #54."""
    events = b'data: {"choices":[{"delta":{"content":"fo"}}]}\n\ndata: [DONE]\n\n'
    with raw_server(answering(http(events, "content-type: text/event-stream"))) as raw:
        error = failure(raw.base_url)
    assert (error.code, error.retryable) == (ErrorCode.UPSTREAM_INVALID, False)
    assert "a stream of events although `stream` is false" in error.detail


@pytest.mark.parametrize(
    ("status", "body", "content"),
    [("201 Created", BODY, "four"), ("203 Other", BODY, "four")],
)
def test_an_answer_may_come_with_another_2xx(status, body, content):
    """Case L: codicil PR 4."""
    with raw_server(answering(http(body, status=status))) as raw:
        assert call(raw.base_url).content == content


def test_a_promise_of_an_answer_is_none():
    """Case L: codicil PR 4."""
    queued = json.dumps({"id": "job-1", "status": "queued"}).encode()
    with raw_server(answering(http(queued, status="202 Accepted"))) as raw:
        error = failure(raw.base_url)
    assert (error.code, error.retryable) == (ErrorCode.UPSTREAM_INVALID, False)
    assert "HTTP 202" in error.detail
