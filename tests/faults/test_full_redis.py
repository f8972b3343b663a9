"""F11: Redis is full for a while: nothing is admitted, nothing is lost, and it goes on."""

import pytest
import redis

from tests.support.model_server import Hold, ModelServer
from tests.support.pages import Scrape, ready
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

FULL, BOUNDLESS = "1", "0"
"""Bytes; what is in Redis already is more than the first."""


def is_ready(system):
    return ready(system.address("bridge0"))["status"] == 200


def limit(system, most):
    with redis.Redis.from_url(system.valkey.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", most)


def test_a_full_redis_admits_nothing_and_all_goes_on_when_there_is_room(
    tmp_path, kafka
):
    room: list[bool] = []
    with (
        ModelServer() as server,
        System(tmp_path, kafka, server, {"m": 2}) as system,
    ):
        system.start()
        sent = set(system.send("high", 5))
        system.replies.wait_for(sent, 30)
        eventually(lambda: is_ready(system), timeout_s=20)
        server.then("m", Hold(lambda: bool(room)))
        sent |= set(system.send("high", 1))
        eventually(lambda: server.in_flight() == 1, timeout_s=20)
        pids = {name: child.pid for name, child in system.children.items()}

        limit(system, FULL)
        eventually(lambda: not is_ready(system), timeout_s=30)
        page = ready(system.address("bridge0"))
        assert (page["status"], page["checks"]["redis"]["ok"]) == (503, False)
        known = len(system.events("bridge0", "request_admitted"))
        sent |= set(system.send("high", 20))
        eventually(lambda: waits_in_kafka(system, 20), timeout_s=30)
        assert len(system.events("bridge0", "request_admitted")) == known
        assert len(server.calls) == 6

        limit(system, BOUNDLESS)
        room.append(True)
        replies = system.replies.wait_for(sent, 60)
        assert {reply["status"] for reply in replies.values()} == {"completed"}
        assert set(system.replies.counts().values()) == {1}
        assert len(server.calls) == len(sent)
        eventually(lambda: is_ready(system), timeout_s=30)
        eventually(lambda: system.committed("high") == len(sent), timeout_s=30)
        assert pids == {n: c.pid for n, c in system.children.items() if c.alive}


def waits_in_kafka(system, count):
    """The bridge has read so many that are not yet in Redis."""
    page = Scrape(system.address("bridge0"))
    return page.sum("agentsched_requests", stage="waiting") == count
