"""Redis loses its data while no bridge runs: what is in Kafka tells the next one."""

import pytest
import redis

from tests.support.model_server import ModelServer
from tests.support.redis_state import rollback, save
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

CAPACITY = 4


@pytest.fixture
def server():
    with ModelServer(delay_s=0.2) as server:
        yield server


@pytest.fixture
def system(tmp_path, kafka, server):
    with System(tmp_path, kafka, server, {"m": CAPACITY}) as system:
        yield system.start()


def until_answered(system, more):
    count = len(system.replies.counts()) + more
    eventually(lambda: len(system.replies.counts()) >= count, timeout_s=30)


def until_idle(system, server):
    """Workers have published what they ran; nobody gives them more."""
    eventually(
        lambda: (
            server.in_flight("m") == 0
            and len(server.calls) == len(system.replies.counts())
        ),
        timeout_s=20,
        message="every call has its reply",
    )


def test_a_killed_bridge_finds_in_kafka_what_an_emptied_redis_forgot(system, server):
    sent = set(system.send("medium", 60) + system.send("high", 20))
    until_answered(system, 30)
    system.kill("bridge0")
    until_idle(system, server)
    with redis.Redis.from_url(system.valkey.url) as client:
        client.flushall()
    system.bridge("bridge1")
    system.replies.wait_for(sent, 90)
    assert set(system.replies.counts().values()) == {1}
    assert len(server.calls) == len(sent)
    assert "looked_up" in system.log("bridge1")


def test_a_bridge_that_stopped_in_order_begins_at_once_with_a_fresh_redis(
    system, server
):
    sent = set(system.send("medium", 60))
    until_answered(system, 10)
    assert system.stop("bridge0") == 0
    until_idle(system, server)
    with redis.Redis.from_url(system.valkey.url) as client:
        client.flushall()
    system.bridge("bridge1")
    system.replies.wait_for(sent, 60)
    assert set(system.replies.counts().values()) == {1}
    assert len(server.calls) == len(sent)
    assert "looked_up" not in system.log("bridge1")


def test_a_redis_that_is_put_back_while_no_bridge_runs_is_noticed(system, server):
    sent = set(system.send("medium", 80))
    with redis.Redis.from_url(system.valkey.url) as client:
        until_answered(system, 8)
        saved = save(client, client.keys())
        until_answered(system, 30)  # two seconds: the counter has grown
        system.kill("bridge0")
        until_idle(system, server)
        rollback(client, client.keys(), saved)
    system.bridge("bridge1")
    system.replies.wait_for(sent, 90)
    # Workers may take the doorbells that came back, before a bridge is there to see it.
    doubled = len(system.replies.all()) - len(sent)
    assert doubled <= 2 * CAPACITY
    assert "looked_up" in system.log("bridge1")
