"""A new namespace on topics with history: what it does, and how that is prevented."""

import json

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.model_server import ModelServer
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

ANSWERED = 3


@pytest.fixture
def server():
    with ModelServer() as server:
        yield server


@pytest.fixture
def system(tmp_path, kafka, server):
    with System(tmp_path, kafka, server, {"m": 2}, classes=("high",)) as system:
        yield system.start()


def test_it_is_told_and_one_that_begins_at_the_end_pays_nothing_again(system, server):
    sent = set(system.send("high", ANSWERED))
    system.replies.wait_for(sent, 60)
    eventually(lambda: system.committed("high") == ANSWERED, timeout_s=30)
    for name in list(system.children):
        assert system.stop(name) == 0
    assert advice(system) == []

    become_another(system)
    (text,) = advice(system)
    assert f"{system.topics['high']}, which holds {ANSWERED} records" in text
    begin_at_the_end(system)
    assert advice(system) == []

    system.bridge("green-bridge")
    system.worker("m", "green-worker")
    new = set(system.send("high", 1))
    system.replies.wait_for(new, 60)
    eventually(lambda: system.committed("high") == ANSWERED + 1, timeout_s=30)
    assert len(server.calls) == ANSWERED + 1
    assert set(system.replies.counts().values()) == {1}


def advice(system):
    """What doctor says of the group."""
    found = json.loads(system.agentsched("doctor", "--json").stdout)["findings"]
    return [
        one["text"]
        for one in found
        if one["what"] == f"group {system.group_id}" and one["level"] == "advice"
    ]


def become_another(system):
    file = system.root / "agentsched.yaml"
    text = file.read_text().replace(system.group_id, "green-bridge-" + system.prefix)
    file.write_text(text + f"namespace: green-{system.prefix}\n")
    system.group_id = "green-bridge-" + system.prefix


def begin_at_the_end(system):
    """As kafka-consumer-groups.sh --reset-offsets --to-latest does."""
    end = system.kafka.end(system.topics["high"])
    place = TopicPartition(system.topics["high"], 0, end)
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    wanted = [ConsumerGroupTopicPartitions(system.group_id, [place])]
    (answer,) = admin.alter_consumer_group_offsets(wanted).values()
    answer.result(20)
