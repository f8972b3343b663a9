"""The embedded Valkey, Kafka and model server, each as the process that it is."""

import signal
import sys

import httpx
import pytest
import redis
from confluent_kafka import Consumer, Producer

from agentsched.embedded.child_process import GuardedChild
from agentsched.embedded.kafka import EmbeddedKafka
from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.errors import EmbeddedError
from tests.support.waiting import eventually


def start_valkey(tmp_path, log="valkey.log"):
    return EmbeddedValkey(tmp_path / "data", tmp_path / log)


def connect(server):
    return redis.Redis.from_url(server.url, decode_responses=True)


def test_valkey_keeps_its_data_over_a_restart(tmp_path):
    for expected in (1, 2):
        with start_valkey(tmp_path) as server, connect(server) as client:
            assert client.incr("starts") == expected


def test_valkey_refuses_writes_rather_than_forget(tmp_path):
    with start_valkey(tmp_path) as server, connect(server) as client:
        policy = client.config_get("maxmemory-policy")
    assert policy == {"maxmemory-policy": "noeviction"}


def test_valkey_listens_on_loopback_only(tmp_path):
    with start_valkey(tmp_path) as server, connect(server) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_a_second_valkey_on_the_same_folder_is_refused(tmp_path):
    refused = pytest.raises(EmbeddedError, match="another Valkey uses")
    with start_valkey(tmp_path), refused:
        start_valkey(tmp_path, log="second.log")


def test_a_killed_valkey_does_not_lock_its_folder(tmp_path):
    first = EmbeddedValkey(tmp_path / "data", tmp_path / "valkey.log")
    first.child.signal(signal.SIGKILL)
    eventually(lambda: not first.child.alive)
    first.stop()
    EmbeddedValkey(tmp_path / "data", tmp_path / "valkey.log").stop()


def test_kafka_has_the_topics_it_was_started_with(tmp_path):
    topics = {"high_priority": 3, "high_priority.dead_letter": 1}
    with EmbeddedKafka(topics, tmp_path / "kafka.log") as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        found = producer.list_topics(timeout=5).topics
        assert {name: len(found[name].partitions) for name in found} == topics


def test_kafka_makes_a_topic_while_it_runs(tmp_path):
    with EmbeddedKafka({}, tmp_path / "kafka.log") as broker:
        broker.create_topic("later", 2)
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        assert (
            len(producer.list_topics("later", timeout=5).topics["later"].partitions)
            == 2
        )


def test_kafka_refuses_a_topic_twice(tmp_path):
    refused = pytest.raises(EmbeddedError, match="'once'")
    with EmbeddedKafka({"once": 1}, tmp_path / "kafka.log") as broker, refused:
        broker.create_topic("once", 1)


def test_what_is_produced_can_be_consumed(tmp_path):
    with EmbeddedKafka({"t": 1}, tmp_path / "kafka.log") as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        producer.produce("t", b"value", headers={"h": b"1"})
        assert producer.flush(10) == 0
        consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": "g",
                "group.protocol": "consumer",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,
            }
        )
        try:
            consumer.subscribe(["t"])
            record = eventually(lambda: consumer.poll(0.1))
            assert (record.value(), record.headers()) == (b"value", [("h", b"1")])
        finally:
            consumer.close()


def test_a_kafka_that_died_says_so(tmp_path):
    with EmbeddedKafka({}, tmp_path / "kafka.log") as broker:
        broker.signal(signal.SIGKILL)
        eventually(lambda: not broker.alive)
        with pytest.raises(EmbeddedError, match=r"kafka\.log"):
            broker.create_topic("t", 1)


@pytest.fixture(scope="module")
def model_server(tmp_path_factory):
    command = [sys.executable, "-m", "agentsched.embedded.model_server", "--seed", "1"]
    log = tmp_path_factory.mktemp("model") / "model_server.log"
    with GuardedChild(command, log_path=log, announces=True) as child:
        with httpx.Client(base_url=child.read_line(timeout_s=20)) as client:
            yield client
        assert child.stop() == 0


def ask(client, **body):
    return client.post("/chat/completions", json=body)


def test_the_model_server_answers_a_chat_completion(model_server):
    answer = ask(
        model_server,
        model="llama3",
        messages=[{"role": "user", "content": "hello"}],
        max_tokens=5,
    ).json()
    choice = answer["choices"][0]
    assert len(choice["message"]["content"].split()) == 5
    assert choice["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 5


def test_the_model_server_lists_its_models(model_server):
    names = {model["id"] for model in model_server.get("/models").json()["data"]}
    assert names == {"gpt-4", "llama3", "qwen-vl"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "nobody", "messages": []}, 404),
        ({"model": "llama3"}, 400),
        ({"model": "llama3", "messages": [], "stream": True}, 400),
    ],
)
def test_the_model_server_refuses_as_openai_does(model_server, body, status):
    answer = ask(model_server, **body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
