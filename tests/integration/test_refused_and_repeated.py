"""Repeats, conflicts and refusals on real Kafka: nothing is silent, nothing blocks."""

import json
import threading

import pytest

from tests.support.model_server import Hold, ModelServer, Refuse
from tests.support.replies import RawReplies
from tests.support.system import System
from tests.support.waiting import eventually

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECOND_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-01"
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


@pytest.fixture
def server():
    with ModelServer(delay_s=0.05) as server:
        yield server


@pytest.fixture
def system(tmp_path, kafka, server):
    with System(tmp_path, kafka, server, {"m": 2}, classes=("high",)) as system:
        yield system.start()


def put(system, value, **headers):
    return system.producer.produce(value, system.topics["high"], headers).result(10)


def test_a_request_that_is_sent_again_is_answered_again_without_a_call(system, server):
    value = json.dumps({"correlation_id": "twice", "content": "x"}).encode()
    put(system, value, traceparent=TRACE)
    system.replies.wait_for({"twice"}, 30)
    put(system, value, traceparent=SECOND_TRACE)
    eventually(lambda: system.replies.counts()["twice"] == 2, timeout_s=20)
    first, second = system.replies.all()
    assert first == second
    assert [call.traceparent for call in server.calls] == [TRACE]
    traces = [headers.get("traceparent") for headers in system.replies.headers()]
    assert traces == [TRACE, SECOND_TRACE]
    eventually(lambda: system.committed("high") == 2, timeout_s=10)


def test_a_request_that_is_sent_twice_at_once_is_answered_once(system, server):
    value = json.dumps({"correlation_id": "twin", "content": "x"}).encode()
    blockers = system.send("high", 4)
    put(system, value)
    put(system, value)
    system.replies.wait_for({"twin", *blockers}, 30)
    eventually(lambda: system.committed("high") == 6, timeout_s=10)
    assert sum(call.prompt == "x" for call in server.calls) == 1


def test_another_payload_with_the_same_identity_is_a_conflict(system, server):
    for content in ("first", "second"):
        put(system, json.dumps({"correlation_id": "same", "content": content}).encode())
    system.replies.wait_for({"same"}, 30)
    with RawReplies(
        system.kafka.bootstrap, f"{system.topics['high']}.dead_letter", decode=bytes
    ) as letters:
        eventually(letters.headers, timeout_s=20)
        assert letters.headers()[0]["reason"] == "CONFLICT"
    assert [call.prompt for call in server.calls] == ["first"]
    assert system.replies.counts()["same"] == 1


def test_a_corrected_request_with_the_same_identity_is_a_conflict(system, server):
    bad = {"correlation_id": "same", "content": "x", "ttl_s": 0}
    put(system, json.dumps(bad).encode())
    put(system, json.dumps(bad | {"ttl_s": 60}).encode())
    reply = system.replies.wait_for({"same"}, 30)["same"]
    assert reply["error"]["code"] == "INVALID_REQUEST"
    with RawReplies(
        system.kafka.bootstrap, f"{system.topics['high']}.dead_letter", decode=bytes
    ) as letters:
        eventually(letters.headers, timeout_s=20)
    eventually(lambda: system.committed("high") == 2, timeout_s=10)
    assert (server.calls, system.replies.counts()["same"]) == ((), 1)


def test_an_error_of_the_model_is_one_failed_reply_after_one_attempt(system, server):
    server.then("m", Refuse(503))
    (id_,) = system.send("high", 1)
    reply = system.replies.wait_for({id_}, 30)[id_]
    assert reply["status"] == "failed"
    assert reply["error"]["retryable"] is True
    assert (len(server.calls), reply["attempts"]) == (1, 1)


def test_a_request_that_waited_too_long_is_refused_without_a_call(system, server):
    refused = threading.Event()
    server.then("m", *[Hold(refused.is_set)] * 2)
    slow = system.send("high", 2)
    eventually(lambda: server.in_flight("m") == 2)
    (late,) = system.send("high", 1, ttl_s=1)
    reply = system.replies.wait_for({late}, 30)[late]
    refused.set()
    system.replies.wait_for({*slow}, 30)
    assert reply["error"]["code"] == "DEADLINE_EXCEEDED"
    assert len(server.calls) == 2
