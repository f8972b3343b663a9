"""Redis is emptied in the middle of the work; Kafka is the truth."""

import pytest
import redis

from tests.support.model_server import ModelServer
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


def test_an_emptied_redis_loses_no_request(tmp_path, kafka):
    with (
        ModelServer(delay_s=0.2) as server,
        System(tmp_path, kafka, server, {"m": 4}) as system,
    ):
        system.start()
        sent = set(system.send("medium", 60))
        eventually(lambda: len(server.calls) > 8, timeout_s=20)
        with redis.Redis.from_url(system.valkey.url) as client:
            client.flushall()
        sent |= set(system.send("high", 5))
        replies = system.replies.wait_for(sent, 60)
        assert {reply["status"] for reply in replies.values()} == {"completed"}
