"""Redis is emptied or put back in the middle of the work; Kafka is the truth."""

from collections import Counter

import pytest
import redis

from tests.support.model_server import ModelServer
from tests.support.redis_servers import Valkey
from tests.support.redis_state import rollback, save
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

CAPACITY = 4
CALL_S = 0.2


@pytest.fixture
def server():
    with ModelServer(delay_s=CALL_S) as server:
        yield server


@pytest.fixture(params=["valkey", pytest.param("oldest redis", marks=pytest.mark.long)])
def redis_server(request, tmp_path):
    """One that a system may use; None: the system's own."""
    if request.param == "valkey":
        yield None
        return
    program = request.getfixturevalue("oldest_redis")
    with Valkey(tmp_path / "redis", program=program) as server:
        yield server


@pytest.fixture
def system(tmp_path, kafka, server, redis_server):
    models = {"m": CAPACITY}
    with System(tmp_path, kafka, server, models, valkey=redis_server) as system:
        yield system.start()


def calls_of(server):
    return Counter(call.prompt for call in server.calls)


def test_an_emptied_redis_loses_no_request_and_doubles_no_reply(system, server):
    sent = set(system.send("medium", 80))
    eventually(lambda: len(system.replies.counts()) > 12, timeout_s=20)
    with redis.Redis.from_url(system.valkey.url) as client:
        client.flushall()
    later = set(system.send("high", 5))
    replies = system.replies.wait_for(later, 20)  # they wait for nothing that was lost
    assert len(system.replies.counts()) < len(sent)
    replies |= system.replies.wait_for(sent | later, 60)
    assert {reply["status"] for reply in replies.values()} == {"completed"}
    assert set(system.replies.counts().values()) == {1}
    # Only what was running at that moment was called twice.
    twice = [prompt for prompt, count in calls_of(server).items() if count > 1]
    assert len(twice) <= 2 * CAPACITY
    assert "epoch_changed" in system.log("bridge0")


def test_a_redis_that_is_put_back_loses_no_request(system, server):
    sent = set(system.send("medium", 120))
    with redis.Redis.from_url(system.valkey.url) as client:
        eventually(lambda: len(system.replies.counts()) > 8, timeout_s=20)
        saved = save(client, client.keys())
        seen = len(system.replies.counts())
        # Two seconds of work: what a replica that lags may lack.
        eventually(lambda: len(system.replies.counts()) > seen + 30, timeout_s=20)
        rollback(client, client.keys(), saved)
    replies = system.replies.wait_for(sent, 90)
    assert {reply["status"] for reply in replies.values()} == {"completed"}
    assert "epoch_changed" in system.log("bridge0")
    # Until a bridge beats again (1 s) workers may take doorbells that came back, too.
    counts = system.replies.counts()
    doubled = sum(count - 1 for count in counts.values())
    assert doubled <= CAPACITY * (2 / CALL_S)
    assert max(counts.values()) <= 2
