"""Bad records, refusals and repeats on real Kafka: nothing is silent, nothing blocks."""

import json

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.support.model_server import Answer, ModelServer, Refuse
from tests.support.replies import RawReplies
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


@pytest.fixture
def server():
    with ModelServer(delay_s=0.05) as server:
        yield server


@pytest.fixture
def system(tmp_path, kafka, server):
    with System(tmp_path, kafka, server, {"m": 2}, classes=("high",)) as system:
        yield system.start()


def committed(system):
    consumer = Consumer(
        {
            "bootstrap.servers": system.kafka.bootstrap,
            "group.id": f"{system.prefix}bridge",
        }
    )
    try:
        place = TopicPartition(system.topics["high"], 0)
        return consumer.committed([place], timeout=10)[0].offset
    finally:
        consumer.close()


def put(system, value, **headers):
    return system.producer.produce(value, system.topics["high"], headers).result(10)


def test_bad_records_become_dead_letters_and_the_partition_moves_on(system):
    bad = [b"no json", b"[1]", b'{"content": "no id"}', b'{"id": "x", "priority": 7}']
    for value in bad:
        put(system, value, mine="1")
    put(system, None)
    (good,) = system.send("high", 1)
    system.replies.wait_for({good}, 30)

    with RawReplies(
        system.kafka.bootstrap, f"{system.topics['high']}.dead_letter", decode=bytes
    ) as letters:
        eventually(lambda: len(letters.all()) == len(bad) + 1, timeout_s=20)
        assert letters.all()[:4] == bad
        reasons = [headers["reason"] for headers in letters.headers()]
        assert reasons[:4] == ["MALFORMED"] * 2 + ["MISSING_IDENTITY", "MALFORMED"]
        assert [headers["source_offset"] for headers in letters.headers()] == list(
            "01234"
        )
        assert letters.headers()[0]["mine"] == "1"
    eventually(lambda: committed(system) == 6, timeout_s=10)


def test_a_request_for_an_unknown_model_gets_a_failed_reply(system, server):
    (id_,) = system.send("high", 1, model_id="nope")
    reply = system.replies.wait_for({id_}, 30)[id_]
    assert (reply["status"], reply["error"]["code"]) == ("failed", "UNKNOWN_MODEL")
    assert server.calls == ()


def test_a_request_that_is_sent_again_is_answered_again_without_a_call(system, server):
    value = json.dumps({"correlation_id": "twice", "content": "x"}).encode()
    put(system, value)
    system.replies.wait_for({"twice"}, 30)
    put(system, value)
    eventually(lambda: system.replies.counts()["twice"] == 2, timeout_s=20)
    first, second = system.replies.all()
    assert first == second
    assert len(server.calls) == 1
    eventually(lambda: committed(system) == 2, timeout_s=10)


def test_a_request_that_is_sent_twice_at_once_is_answered_once(system, server):
    value = json.dumps({"correlation_id": "twin", "content": "x"}).encode()
    blockers = system.send("high", 4)
    put(system, value)
    put(system, value)
    system.replies.wait_for({"twin", *blockers}, 30)
    eventually(lambda: committed(system) == 6, timeout_s=10)
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


def test_an_error_of_the_model_is_one_failed_reply_after_one_attempt(system, server):
    server.then("m", Refuse(503))
    (id_,) = system.send("high", 1)
    reply = system.replies.wait_for({id_}, 30)[id_]
    assert reply["status"] == "failed"
    assert reply["error"]["retryable"] is True
    assert (len(server.calls), reply["attempts"]) == (1, 1)


def test_a_request_that_waited_too_long_is_refused_without_a_call(system, server):
    server.then("m", Answer(delay_s=3), Answer(delay_s=3))
    slow = system.send("high", 2)
    eventually(lambda: server.in_flight("m") == 2)
    (late,) = system.send("high", 1, ttl_s=1)
    reply = system.replies.wait_for({late, *slow}, 30)[late]
    assert reply["error"]["code"] == "DEADLINE_EXCEEDED"
    assert len(server.calls) == 2
