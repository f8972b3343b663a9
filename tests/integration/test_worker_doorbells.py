"""Doorbells over Celery on a real Redis."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from celery import Celery
from kombu import Message

from agentsched.celery.queues import CeleryDoorbells
from agentsched.celery.settings import celery_settings
from agentsched.config.settings import Settings
from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.errors import DoorbellFailed
from agentsched.wire.doorbell import TASK_NAME, Doorbell


def make_settings(url: str, namespace: str) -> Settings:
    endpoint = {"base_url": "http://127.0.0.1:1/v1"}
    return Settings.model_validate(
        {
            "namespace": namespace,
            "redis": {"url": url},
            "models": [{"name": "gpt-4", "endpoints": [endpoint]}],
        }
    )


class Rung:
    """Doorbells, the queue as Redis has it, and as Celery's client reads it."""

    def __init__(self, url: str) -> None:
        self.namespace = f"t{uuid4().hex[:8]}"
        settings = make_settings(url, self.namespace)
        self.app = Celery("test", set_as_current=False)
        self.app.conf.update(celery_settings(settings))
        self.doorbells = CeleryDoorbells(settings)
        self.client = redis.Redis.from_url(url)

    def read(self) -> list[Message]:
        """Take all messages out as a worker does, the most urgent first."""
        with self.app.connection_for_read() as connection:
            queue = self.app.amqp.queues["gpt4"](connection.default_channel)
            found = []
            while (message := queue.get(accept=["json"])) is not None:
                message.ack()
                found.append(message)
            return found

    def messages(self, step: str = "") -> list[dict]:
        values = self.client.lrange(f"{self.namespace}:celery:gpt4{step}", 0, -1)
        return [json.loads(value) for value in reversed(values)]

    def close(self) -> None:
        self.doorbells.close()
        self.app.close()
        self.client.close()


@pytest.fixture
def rung(redis_url: str) -> Iterator[Rung]:
    rung = Rung(redis_url)
    yield rung
    rung.close()


def doorbell(number: int = 1, cls: str = "high", model: str = "gpt-4") -> Doorbell:
    return Doorbell(f"key{number}", 1, "epoch", model, cls, "agent", f"c-{number}")


def test_a_doorbell_is_a_task_of_ours(rung: Rung) -> None:
    rung.doorbells.ring([doorbell()])
    (message,) = rung.messages()
    assert message["headers"]["task"] == TASK_NAME
    assert message["headers"]["id"] == doorbell().task_id


def test_a_doorbell_is_read_as_one_that_celery_has_sent(rung: Rung) -> None:
    rung.doorbells.ring([doorbell()])
    (ours,) = rung.read()
    rung.app.send_task(
        TASK_NAME,
        kwargs=doorbell().to_wire(),
        task_id=doorbell().task_id,
        queue="gpt4",
        priority=0,
        ignore_result=True,
        argsrepr="()",
        kwargsrepr=ours.headers["kwargsrepr"],
    )
    (theirs,) = rung.read()
    assert ours.payload == theirs.payload
    assert ours.headers == theirs.headers
    # These options go into Celery's properties, too, where nobody reads them.
    left = {"argsrepr", "kwargsrepr"}
    assert ours.properties.keys() == theirs.properties.keys() - left
    same = ours.properties.keys() - {"delivery_tag", "reply_to"}
    assert {key: ours.properties[key] for key in same} == {
        key: theirs.properties[key] for key in same
    }


def test_the_most_urgent_is_read_first(rung: Rung) -> None:
    classes = ["low", "high", "medium", "high"]
    rung.doorbells.ring([doorbell(n, cls) for n, cls in enumerate(classes)])
    read = [message.payload[1]["key"] for message in rung.read()]
    assert read == ["key1", "key3", "key2", "key0"]


def test_every_message_has_a_delivery_tag_of_its_own(rung: Rung) -> None:
    rung.doorbells.ring([doorbell(), doorbell()])
    rung.doorbells.ring([doorbell()])
    tags = [message["properties"]["delivery_tag"] for message in rung.messages()]
    assert len(set(tags)) == 3


def test_many_doorbells_are_one_round_trip(rung: Rung) -> None:
    calls = rung.client.info("commandstats").get("cmdstat_lpush", {"calls": 0})["calls"]
    rung.doorbells.ring([doorbell(n) for n in range(100)])
    after = rung.client.info("commandstats")["cmdstat_lpush"]["calls"]
    assert after - calls == 1
    assert rung.doorbells.waiting("gpt4") == 100


def test_no_doorbells_are_no_round_trip_at_all() -> None:
    rung = Rung("redis://127.0.0.1:1/0")
    rung.doorbells.ring([])
    rung.close()


@pytest.mark.parametrize(
    ("cls", "step"), [("high", ""), ("medium", "\x06\x163"), ("low", "\x06\x166")]
)
def test_a_class_has_a_list_of_its_own(rung: Rung, cls: str, step: str) -> None:
    rung.doorbells.ring([doorbell(cls=cls)])
    assert len(rung.messages(step)) == 1


def test_doorbells_keep_their_order(rung: Rung) -> None:
    rung.doorbells.ring([doorbell(n) for n in range(5)])
    ids = [message["headers"]["id"] for message in rung.messages()]
    assert ids == [doorbell(n).task_id for n in range(5)]


def test_all_classes_count_as_waiting(rung: Rung) -> None:
    rung.doorbells.ring(
        [doorbell(n, cls) for n, cls in enumerate(["high", "low", "low"])]
    )
    assert rung.doorbells.waiting("gpt4") == 3


def test_nothing_waits_in_a_queue_that_was_never_used(rung: Rung) -> None:
    assert rung.doorbells.waiting("gpt4") == 0


def test_a_model_without_a_queue_is_a_doorbell_that_failed(rung: Rung) -> None:
    with pytest.raises(DoorbellFailed, match="'gpt-5'"):
        rung.doorbells.ring([doorbell(1, model="gpt-5"), doorbell(2)])
    assert len(rung.messages()) == 1


def test_installations_with_two_namespaces_do_not_meet(
    rung: Rung, redis_url: str
) -> None:
    other = Rung(redis_url)
    rung.doorbells.ring([doorbell()])
    waiting = other.doorbells.waiting("gpt4")
    other.close()
    assert waiting == 0


def test_an_emptied_redis_takes_doorbells_again(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "data", tmp_path / "log") as server:
        rung = Rung(server.url)
        rung.doorbells.ring([doorbell(1)])
        rung.client.flushall()
        rung.doorbells.ring([doorbell(2)])
        waiting = len(rung.messages())
        rung.close()
    assert waiting == 1


def test_a_connection_that_was_cut_is_made_again(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "data", tmp_path / "log") as server:
        rung = Rung(server.url)
        rung.doorbells.ring([doorbell(1)])
        rung.client.client_kill_filter(_type="normal", skipme=True)
        try:
            rung.doorbells.ring([doorbell(2)])
        except DoorbellFailed:
            rung.doorbells.ring([doorbell(2)])
        waiting = rung.doorbells.waiting("gpt4")
        rung.close()
    assert waiting == 2


def test_a_broker_that_is_not_there_is_said_without_waiting_for_it() -> None:
    rung = Rung("redis://:the-password@127.0.0.1:1/0")
    with pytest.raises(DoorbellFailed) as ringing:
        rung.doorbells.ring([doorbell()])
    with pytest.raises(DoorbellFailed):
        rung.doorbells.waiting("gpt4")
    rung.close()
    assert "the-password" not in str(ringing.value)


def test_a_broker_that_went_away_is_said(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path / "data", tmp_path / "log")
    rung = Rung(server.url)
    rung.doorbells.ring([doorbell()])
    server.stop()
    with pytest.raises(DoorbellFailed):
        rung.doorbells.ring([doorbell()])
    rung.close()
