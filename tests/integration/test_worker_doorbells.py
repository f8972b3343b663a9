"""Doorbells over Celery on a real Redis."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from celery import Celery

from agentsched.celery.queues import CeleryDoorbells
from agentsched.celery.settings import celery_settings
from agentsched.config.settings import Settings
from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.errors import DoorbellFailed
from agentsched.wire.doorbell import TASK_NAME, Doorbell


def make_app(url: str, namespace: str) -> Celery:
    endpoint = {"base_url": "http://127.0.0.1:1/v1"}
    settings = Settings.model_validate(
        {
            "namespace": namespace,
            "redis": {"url": url},
            "models": [{"name": "gpt-4", "endpoints": [endpoint]}],
        }
    )
    app = Celery("test", set_as_current=False)
    app.conf.update(celery_settings(settings))
    return app


class Rung:
    """Doorbells, and the queue as Redis has it."""

    def __init__(self, url: str) -> None:
        self.namespace = f"t{uuid4().hex[:8]}"
        self.app = make_app(url, self.namespace)
        self.doorbells = CeleryDoorbells(self.app)
        self.client = redis.Redis.from_url(url)

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
        rung.doorbells.ring([doorbell(model="gpt-5")])


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
