"""Two installations with one Redis and one Kafka: the namespace keeps them apart."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from celery import Celery
from confluent_kafka.admin import AdminClient

from agentsched.celery.settings import celery_settings
from agentsched.embedded.valkey import EmbeddedValkey
from tests.support.kafka_cluster import KafkaCluster
from tests.support.model_server import ModelServer
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

# One model is called like a key of the ledger: that must not matter.
MODELS = {"gpt-4": 2, "epoch": 1}


@dataclass(frozen=True)
class Both:
    blue: System
    green: System

    def names(self) -> Iterator[tuple[str, System]]:
        yield from (("blue", self.blue), ("green", self.green))


@pytest.fixture(scope="module")
def both(
    kafka: KafkaCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    root = tmp_path_factory.mktemp("namespaces")
    with (
        EmbeddedValkey(root / "valkey", root / "valkey.log") as valkey,
        ModelServer() as first,
        ModelServer() as second,
        _system(root / "blue", kafka, first, valkey) as blue,
        _system(root / "green", kafka, second, valkey) as green,
    ):
        blue.bridge("bridge")
        green.bridge("bridge")
        for system in (blue, green):
            system.worker("gpt4,epoch", "worker")
        for system in (blue, green):
            system.wait_for_slots(MODELS)
        yield Both(blue, green)


def _system(
    root: Path, kafka: KafkaCluster, server: ModelServer, valkey: EmbeddedValkey
) -> System:
    root.mkdir()
    config = {"namespace": root.name}
    return System(root, kafka, server, MODELS, config=config, valkey=valkey)


def app_of(system: System) -> Celery:
    app = Celery("operator", set_as_current=False)
    app.conf.update(celery_settings(system.settings))
    return app


def celery(system: System, *arguments: str) -> str:
    """What a command of Celery's says, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", "agentsched", *arguments],
        cwd=system.root,
        env={"AGENTSCHED_CONFIG": str(system.root / "agentsched.yaml")},
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    ).stdout


def test_each_answers_its_own_requests_with_its_own_models(both: Both) -> None:
    sent = {
        name: [
            *system.send("high", 10, model_id="gpt-4"),
            *system.send("low", 5, model_id="epoch"),
        ]
        for name, system in both.names()
    }
    for name, system in both.names():
        replies = system.replies.wait_for(set(sent[name]), 60)
        assert {reply["status"] for reply in replies.values()} == {"completed"}
        assert {call.prompt for call in system.server.calls} == set(sent[name])


def test_each_has_a_consumer_group_of_its_own(both: Both) -> None:
    admin = AdminClient({"bootstrap.servers": both.blue.kafka.bootstrap})
    groups = {each.group_id for each in admin.list_consumer_groups().result().valid}
    assert {"blue-bridge", "green-bridge"} <= groups


def test_every_key_of_redis_has_the_namespace_of_its_owner(both: Both) -> None:
    with redis.Redis.from_url(both.blue.valkey.url, decode_responses=True) as client:
        # Celery's own reply queues of `inspect` among them.
        app_of(both.blue).control.inspect(timeout=2).ping()
        names = set(client.scan_iter(count=1000))
    strange = {name for name in names if not name.startswith(("blue:", "green:"))}
    assert strange == set()
    assert any(name.startswith("blue:celery:") for name in names)


def test_who_inspects_one_sees_its_workers_only(both: Both) -> None:
    for name, system in both.names():
        app = app_of(system)
        nodes = app.control.inspect(timeout=5).ping()
        assert len(nodes or {}) == 1, name
        app.close()
    assert celery(both.green, "status", "--timeout", "5").count("OK") == 1


def test_a_doorbell_of_one_is_heard_by_no_worker_of_the_other(both: Both) -> None:
    assert both.green.stop("worker") == 0
    waiting = both.green.send("high", 3, model_id="gpt-4")
    both.blue.replies.wait_for(set(both.blue.send("high", 3, model_id="gpt-4")), 40)
    seen = {call.prompt for call in both.blue.server.calls}
    assert seen.isdisjoint(waiting)
    both.green.worker("gpt4,epoch", "worker-2")
    both.green.replies.wait_for(set(waiting), 60)


def test_a_shutdown_of_one_leaves_the_other_at_work(both: Both) -> None:
    """The last of the module: one of the two is without a worker afterwards."""
    app_of(both.blue).control.shutdown()
    worker = both.blue.children["worker"]
    eventually(lambda: not worker.alive, timeout_s=40, message="the worker ends")
    both.green.replies.wait_for(set(both.green.send("high", 3, model_id="gpt-4")), 40)
    assert both.green.children["worker-2"].alive
