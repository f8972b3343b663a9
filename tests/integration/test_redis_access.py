"""The access rules of docs/how-to/your-redis.md: enough for everything, and no more."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery
from redis.exceptions import NoPermissionError, ResponseError

from agentsched.celery.queues import CeleryDoorbells
from agentsched.celery.settings import celery_settings
from agentsched.config.loader import parse_settings
from agentsched.embedded.services import environment
from agentsched.wire.epoch import EpochCounter
from tests.integration.worker_rig import WorkerRig
from tests.support import guides
from tests.support.command import ROOT
from tests.support.flower_server import FlowerServer
from tests.support.kafka_cluster import PASSWORD, KafkaCluster
from tests.support.model_server import Hang, ModelServer
from tests.support.redis_servers import Valkey
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

CELERY = ["-m", "celery", "-A", "agentsched"]


def rules() -> dict[str, list[str]]:
    """User -> the command of the page that makes it, word for word."""
    commands = map(guides.words, guides.all_commands("docs/how-to/your-redis.md"))
    return {
        words[3]: words[1:] for words in commands if words[1:3] == ["ACL", "SETUSER"]
    }


def url_of(user: str, server: Valkey) -> str:
    (password,) = (word[1:] for word in rules()[user] if word.startswith(">"))
    return f"redis://{user}:{password}@127.0.0.1:{server.port}/0"


def refused(admin: redis.Redis) -> list[tuple[str, str, str]]:
    """What the server refused, and to whom."""
    return [
        (one["username"], one["reason"], one["object"])
        for one in admin.acl_log()
        # Redis 6.2 does not know what a client says of itself.
        if one["object"] != "client"
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server with the page's users, and without the default one."""
    root = tmp_path_factory.mktemp("valkey")
    with Valkey(root, password=PASSWORD, user="admin") as server:
        with server.client() as admin:
            for words in rules().values():
                assert admin.execute_command(*words)
        yield server


@pytest.fixture(scope="module")
def admin(server: Valkey) -> Iterator[redis.Redis]:
    with server.client() as admin:
        yield admin


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as model:
        yield model


@pytest.fixture(scope="module")
def system(
    kafka: KafkaCluster,
    server: Valkey,
    model: ModelServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    config = {"namespace": "blue", "redis": {"url": url_of("blue", server)}}
    root = tmp_path_factory.mktemp("system")
    models = {"gpt4": 2}
    with System(root, kafka, model, models, config=config, valkey=server) as system:
        system.bridge("bridge")
        # Gossip and mingle use channels, too: `system.worker` turns them off.
        system._start("worker", [*CELERY, "worker", "-Q", "gpt4"])
        system.wait_for_slots(models)
        yield system


def environ(system: System, **more: str) -> dict[str, str]:
    ours = os.environ | {"PYTHONPATH": str(ROOT)}
    return environment(ours, system.root / "agentsched.yaml", more)


def celery(system: System, *words: str) -> str:
    return subprocess.run(
        [sys.executable, *CELERY, *words],
        cwd=system.root,
        env=environ(system),
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    ).stdout


def run(system: System, *words: str, code: int = 0) -> str:
    done = system.agentsched(*words)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_requests_are_answered_and_cancelled(
    system: System, model: ModelServer, admin: redis.Redis
) -> None:
    replies = system.replies.wait_for(set(system.send("high", 3)), 60)
    assert {reply["status"] for reply in replies.values()} == {"completed"}
    model.then("gpt4", Hang())
    (held,) = system.send("low", 1)
    eventually(lambda: len(model.calls) == 4, timeout_s=60, message="the call runs")
    run(system, "cancel", held)
    assert system.replies.wait_for({held}, 60)[held]["error"]["code"] == "CANCELLED"
    run(system, "explain", held)
    assert refused(admin) == []


def test_operators_steer_and_look(system: System, admin: redis.Redis) -> None:
    for words in (
        ["pause", "gpt4"],
        ["status"],
        ["resume", "gpt4"],
        ["drain", "--timeout-s", "20"],
        ["resume", "--all"],
    ):
        run(system, *words)
    # Topics of one broker are a fault of its own.
    found = json.loads(system.agentsched("doctor", "--json").stdout)["findings"]
    redis_, clock, bridge, worker = (
        [one for one in found if one["what"] == what]
        for what in ("redis", "clock", "bridge", "worker gpt4")
    )
    assert len(redis_) == 3
    assert {one["level"] for one in (*clock, *bridge, *worker)} == {"ok"}
    assert "unchecked" not in str(redis_)
    assert refused(admin) == []


def test_celery_inspects_and_controls(system: System, admin: redis.Redis) -> None:
    assert "pong" in celery(system, "inspect", "--timeout", "5", "ping")
    assert "OK" in celery(system, "control", "--timeout", "5", "revoke", "no-such-task")
    assert refused(admin) == []


def test_celery_takes_a_doorbell_back(server: Valkey, admin: redis.Redis) -> None:
    """What it does for a worker that was killed, or was told to stop."""
    settings = parse_settings(
        json.dumps(
            {
                "namespace": "blue",
                "redis": {"url": url_of("blue", server)},
                "models": [{"name": "idle"}],
            }
        )
    ).settings
    with Celery("test", set_as_current=False) as app:
        app.conf.update(celery_settings(settings))
        with app.connection_for_write() as connection, connection.channel() as channel:
            queue = app.amqp.queues["idle"](channel)
            queue.declare()
            app.send_task("a-doorbell", queue="idle", connection=connection)
            queue.get().reject(requeue=True)
            queue.get()
            channel.qos.restore_visible()
            channel.qos.restore_unacked()
            doorbells = CeleryDoorbells(settings)
            assert doorbells.waiting("idle") == 1
            doorbells.close()
            queue.get().ack()
            assert queue.purge() == 0
            queue.delete()
    assert refused(admin) == []


def test_flower_has_enough_with_less(
    system: System, server: Valkey, admin: redis.Redis
) -> None:
    login = "operator:secret"
    more = {"REDIS_URL": url_of("blue-flower", server), "FLOWER_BASIC_AUTH": login}
    with FlowerServer(system.root, environ(system, **more)) as flower:
        eventually(
            lambda: '"gpt4@' in flower.get("/workers?json=1", login).text,
            timeout_s=60,
            message="Flower sees the worker",
        )
        system.replies.wait_for(set(system.send("high", 1)), 60)
        eventually(
            lambda: '"SUCCESS"' in flower.get("/api/tasks", login).text,
            timeout_s=60,
            message="Flower sees the task",
        )
        for path in ("/api/workers?refresh=1", "/api/queues/length", "/broker"):
            page = flower.get(path, login)
            assert page.status == 200
            assert "gpt4" in page.text
        assert flower.get("/api/task/revoke/none", login, "POST").status == 200
    users = {one["user"] for one in admin.client_list()}
    assert "blue" in users
    assert refused(admin) == []


def test_what_an_older_epoch_left_is_dropped(
    system: System, admin: redis.Redis
) -> None:
    left = f"blue:{'0' * 24}:ready"
    admin.hset(left, "a", "b")
    epoch = system.ledger.membership.beat(EpochCounter("", 0)).pulse.epoch
    system.ledger.membership.drop_older(epoch)
    assert not admin.exists(left)
    assert refused(admin) == []


@pytest.mark.parametrize("user", ["blue", "blue-flower"])
def test_another_namespace_is_out_of_reach(
    server: Valkey, admin: redis.Redis, user: str
) -> None:
    admin.hset("green:epoch", "id", "e")
    admin.set("bluegreen:key", "x")
    with redis.Redis.from_url(url_of(user, server)) as client:
        for words in (
            ["HGET", "green:epoch", "id"],
            ["GET", "bluegreen:key"],
            ["DEL", "green:epoch"],
            ["LPUSH", "green:celery:gpt4", "x"],
            ["LPUSH", "gpt4", "x"],
            ["PUBLISH", "green:voided", "x"],
            ["PUBLISH", "/0.celery.pidbox", "x"],
            ["PSUBSCRIBE", "*"],
            ["KEYS", "*"],
            ["FLUSHALL"],
            ["CONFIG", "SET", "maxmemory", "1"],
            ["SCRIPT", "FLUSH"],
            ["CLIENT", "LIST"],
            ["ACL", "LIST"],
            ["MONITOR"],
        ):
            with pytest.raises(NoPermissionError):
                client.execute_command(*words)
        script = client.register_script(
            "return redis.call('HGET', 'green:epoch', 'id')"
        )
        with pytest.raises(ResponseError, match="key"):
            script()
    assert admin.hget("green:epoch", "id") == b"e"
    admin.execute_command("ACL", "LOG", "RESET")


def test_what_is_dangerous_is_for_the_doctor(admin: redis.Redis) -> None:
    dangerous = {f"+{name}" for name in admin.acl_cat("dangerous")}
    assert dangerous & set(rules()["blue"]) == {"+info", "+config|get"}
    assert dangerous & set(rules()["blue-flower"]) == set()


def test_flower_reads_no_request(server: Valkey) -> None:
    with (
        redis.Redis.from_url(url_of("blue-flower", server)) as client,
        pytest.raises(NoPermissionError),
    ):
        client.hget("blue:epoch", "id")


def test_a_right_that_is_missing_is_named_and_waited_for(
    system: System, admin: redis.Redis
) -> None:
    """The last on this system. Every step asks Redis for the time."""
    words = {"no right to the command time", "docs/how-to/your-redis.md", "ACL LOG"}
    admin.execute_command("ACL", "SETUSER", "blue", "-time")
    for log in ("bridge", "worker"):
        said = eventually(
            lambda log=log: system.events(log, "redis_unreachable"),
            timeout_s=60,
            message=f"the {log} says it",
        )
        assert all(word in said[0]["detail"] for word in words)
    (waits,) = system.send("high", 1)
    for command in (["explain", waits], ["status"], ["doctor", "--json"]):
        said = run(system, *command, code=1)
        assert all(word in " ".join(said.split()) for word in words), said
    admin.execute_command(*rules()["blue"])
    assert system.replies.wait_for({waits}, 60)[waits]["status"] == "completed"


def test_a_worker_says_which_right_celery_misses(tmp_path: Path) -> None:
    with Valkey(tmp_path / "valkey", password=PASSWORD, user="admin") as server:
        with server.client() as admin:
            admin.execute_command(*rules()["blue"], "allkeys", "allchannels", "-brpop")
        with WorkerRig(tmp_path, url_of("blue", server), {"gpt-4": 1}) as rig:
            assert rig.worker("-Q", "gpt4").wait(240) == 1
            assert "no right to the command brpop" in rig.log()
            assert "docs/how-to/your-redis.md" in rig.log()
