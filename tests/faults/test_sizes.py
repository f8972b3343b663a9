"""F18: what is too large, on its way in and on its way out, is answered and blocks nothing."""

import random
import string

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from agentsched.client.client import AgentClient
from agentsched.client.errors import InvalidRequest
from tests.support.model_server import Answer, ModelServer, huge
from tests.support.replies import RawReplies
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

LIMIT_BYTES = 1_048_576
"""Of requests and replies, unless the configuration says else."""
TOPIC_BYTES = 20_000


def incompressible(characters):
    """Text that no codec of Kafka makes much smaller."""
    chance = random.Random(1)
    # No character that JSON would escape.
    letters = set(string.printable[:94]) - {'"', "\\"}
    return "".join(chance.choices(sorted(letters), k=characters))


@pytest.fixture(scope="module")
def server():
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
def system(tmp_path_factory, kafka, server):
    root = tmp_path_factory.mktemp("sizes")
    with System(root, kafka, server, {"m": 2}, classes=("high",)) as system:
        yield system.start()


def still_works(system):
    (id_,) = system.send("high", 1)
    assert system.replies.wait_for({id_}, 60)[id_]["status"] == "completed"
    end = system.kafka.end(system.topics["high"])
    eventually(lambda: system.committed("high") == end, timeout_s=30)


def test_a_client_refuses_to_send_what_is_too_large(system):
    with AgentClient.of(system.settings) as client, pytest.raises(InvalidRequest):
        client.submit("x" * LIMIT_BYTES)


def test_a_record_over_the_bridges_limit_becomes_a_dead_letter(tmp_path, kafka, server):
    config = {"limits": {"request_max_bytes": 2_000}}
    with System(
        tmp_path, kafka, server, {"m": 2}, classes=("high",), config=config
    ) as system:
        system.start()
        system.send("high", 1, content="x" * 2_000)
        letters = f"{system.topics['high']}.dead_letter"
        with RawReplies(kafka.bootstrap, letters, decode=bytes) as dead:
            (headers,) = eventually(dead.headers, timeout_s=30)
        assert headers["reason"] == "TOO_LARGE"
        still_works(system)


def test_an_answer_over_the_limit_is_a_failed_reply(system, server):
    server.then("m", huge(LIMIT_BYTES + 1))
    (id_,) = system.send("high", 1)
    reply = system.replies.wait_for({id_}, 60)[id_]
    assert reply["error"]["code"] == "REPLY_TOO_LARGE"
    assert reply["error"]["retryable"] is False
    still_works(system)


def test_every_size_around_the_limits_is_answered(system, server):
    """The broker counts keys, headers and its own bytes, too."""
    sizes = range(LIMIT_BYTES - 1_100, LIMIT_BYTES - 200, 100)
    server.then("m", *(Answer(incompressible(size)) for size in sizes))
    ids = set(system.send("high", len(sizes)))
    replies = system.replies.wait_for(ids, 60)
    codes = [(reply["error"] or {}).get("code") for reply in replies.values()]
    assert set(codes) == {None, "REPLY_TOO_LARGE"}
    still_works(system)


def test_an_answer_that_the_reply_topic_does_not_take_is_a_failed_reply(system, server):
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    entry = ConfigEntry(
        "max.message.bytes",
        str(TOPIC_BYTES),
        incremental_operation=AlterConfigOpType.SET,
    )
    topic = ConfigResource(
        ResourceType.TOPIC, system.output_topic, incremental_configs=[entry]
    )
    for future in admin.incremental_alter_configs([topic]).values():
        future.result()
    server.then("m", Answer(incompressible(3 * TOPIC_BYTES)))
    (id_,) = system.send("high", 1)
    reply = system.replies.wait_for({id_}, 60)[id_]
    assert reply["error"]["code"] == "REPLY_TOO_LARGE"
    still_works(system)
