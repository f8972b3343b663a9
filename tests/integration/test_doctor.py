"""`agentsched doctor` on the real system: each thing is broken, and the advice is read."""

import json

import pytest
import redis
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.support.model_server import ModelServer
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

GOOD = {
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
}


@pytest.fixture(scope="module")
def system(tmp_path_factory, kafka):
    root = tmp_path_factory.mktemp("doctor")
    with ModelServer() as server, System(root, kafka, server, {"m": 2}) as system:
        system.start()
        yield system


def findings(system, expected_code):
    done = system.agentsched("doctor", "--json")
    assert done.returncode == expected_code, done.stdout + done.stderr
    return json.loads(done.stdout)["findings"]


def faults(system):
    found = [one for one in findings(system, 1) if one["level"] == "fault"]
    return [(one["what"], one["text"], one["fix"]) for one in found]


def alter(kafka, topic, key, value):
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    (answer,) = admin.incremental_alter_configs([resource]).values()
    answer.result()


def test_a_system_that_works_has_no_fault(system):
    eventually(lambda: system.agentsched("doctor").returncode == 0, timeout_s=30)
    found = {one["what"] for one in findings(system, 0)}
    assert {"kafka", "redis", "bridge", "worker m", "clock"} <= found
    assert {f"topic {name}" for name in system.topics.values()} <= found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("retention.ms", "60000"),
        ("retention.bytes", "4096"),
        ("cleanup.policy", "compact"),
    ],
)
def test_a_topic_that_may_drop_requests(system, kafka, key, value):
    topic = system.topics["high"]
    alter(kafka, topic, key, value)
    ((what, _, fix),) = eventually(lambda: faults(system), timeout_s=20)
    assert (what, f"{key}={GOOD[key]}" in fix) == (f"topic {topic}", True)
    alter(kafka, topic, key, GOOD[key])


def test_a_redis_that_forgets(system):
    with redis.Redis.from_url(system.valkey.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            ((what, _, fix),) = faults(system)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert (what, "noeviction" in fix) == ("redis", True)


def test_a_model_server_that_is_down_and_a_queue_without_a_worker(system, tmp_path):
    path = system.root / "agentsched.yaml"
    good = path.read_text()
    path.write_text(good.replace(f":{system.server._port}/v1", ":1/v1"))
    try:
        ((what, text, _),) = faults(system)
    finally:
        path.write_text(good)
    assert (what, "cannot be reached" in text) == (
        "endpoint http://127.0.0.1:1/v1",
        True,
    )


def test_a_pool_without_workers_is_a_fault_only_while_requests_wait(system):
    def worker_m():
        done = system.agentsched("doctor", "--json")
        found = json.loads(done.stdout)["findings"]
        (one,) = [one for one in found if one["what"] == "worker m"]
        return done.returncode, one["level"], one["fix"]

    system.stop("worker-m-0")
    eventually(lambda: not system.ledger.membership.live_slots(), timeout_s=30)
    code, level, fix = worker_m()
    assert (code, level) == (0, "advice")
    assert "celery -A agentsched worker -Q m" in fix

    sent = set(system.send("high", 1))
    eventually(lambda: worker_m()[:2] == (1, "fault"), timeout_s=30)
    system.worker("m", "worker-m-0")
    system.replies.wait_for(sent, 30)


def test_a_missing_topic_and_no_bridge(system):
    path = system.root / "agentsched.yaml"
    good = path.read_text()
    path.write_text(good.replace(system.output_topic, "not-there"))
    try:
        ((what, text, _),) = faults(system)
    finally:
        path.write_text(good)
    assert (what, "agentsched topics create" in text) == ("topic not-there", True)

    system.stop("bridge0")
    ((what, _, fix),) = eventually(lambda: faults(system), timeout_s=30)
    assert (what, "python -m bridge" in fix) == ("bridge", True)
    system.bridge("bridge0")


def test_nobody_answers(tmp_path):
    from tests.support.command import run_agentsched  # noqa: PLC0415

    (tmp_path / "agentsched.yaml").write_text(
        "kafka: {bootstrap_servers: ['127.0.0.1:1']}\n"
        "redis: {url: 'redis://:secret@127.0.0.1:1/0'}\n"
        "models: [{name: m, endpoints: [{base_url: 'http://127.0.0.1:1/v1'}]}]\n"
    )
    done = run_agentsched(tmp_path, "doctor")
    assert done.returncode == 1
    assert "no Kafka at 127.0.0.1:1" in " ".join(done.stdout.split())
    assert "secret" not in done.stdout + done.stderr
