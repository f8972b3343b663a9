"""Redis found by Sentinels, with passwords: a worker goes on after a failover."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agentsched.config.settings import RedisSettings
from agentsched.redis.client import close_client, redis_client
from tests.integration.worker_rig import WorkerRig
from tests.support.redis_servers import Sentinels, Valkey
from tests.support.tls import Authority, TlsFront
from tests.support.waiting import eventually

PASSWORD, SENTINEL_PASSWORD = "hunter2", "hunter3"

pytestmark = pytest.mark.timeout(150)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    root = tmp_path_factory.mktemp("sentinels")
    with Sentinels(root, PASSWORD, SENTINEL_PASSWORD) as servers:
        yield servers


@pytest.fixture(scope="module")
def rig(
    servers: Sentinels, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerRig]:
    first, second = servers.sentinels
    section = {
        "url": f"sentinel://:{PASSWORD}@127.0.0.1:{first.port}/2;"
        f"sentinel://127.0.0.1:{second.port}",
        "sentinel_master": servers.name,
        "sentinel_password": SENTINEL_PASSWORD,
    }
    with WorkerRig(tmp_path_factory.mktemp("rig"), section, {"gpt-4": 2}) as rig:
        rig.ready_worker("-Q", "gpt4", "-l", "DEBUG")
        yield rig


def secrets_in(text: str) -> list[str]:
    return [secret for secret in (PASSWORD, SENTINEL_PASSWORD) if secret in text]


def test_a_request_is_answered(rig: WorkerRig, servers: Sentinels) -> None:
    assert rig.reply_to(rig.request())["status"] == "completed"
    with servers.primary.client() as client:
        keys = client.info("keyspace")
    assert set(keys) == {"db2"}


def test_who_inspects_the_workers_sees_no_password(rig: WorkerRig) -> None:
    stats = rig.inspect()
    (worker,) = stats.values()
    assert len(worker["broker"]["alternates"]) == 2
    assert secrets_in(json.dumps(stats)) == []


@pytest.mark.parametrize(
    "arguments", [["report"], ["inspect", "--timeout", "5", "conf"]]
)
def test_no_command_of_celery_shows_a_password(
    rig: WorkerRig, arguments: list[str]
) -> None:
    done = rig.celery(*arguments)
    assert "master_name" in done.stdout
    assert secrets_in(done.stdout + done.stderr) == []


def test_a_worker_goes_on_after_a_failover(rig: WorkerRig, servers: Sentinels) -> None:
    """The last of the module: the first data server stays dead."""
    before = rig.request()
    rig.reply_to(before)
    # What the replica has not yet would be lost, which the epoch is there for.
    servers.fail_over()

    def asked_again() -> str | None:
        try:
            return rig.request()
        except Exception:  # noqa: BLE001  (whatever says that Redis is not back yet)
            return None

    key = eventually(asked_again, timeout_s=40, message="ledger and doorbells are back")
    assert rig.reply_to(key, 40)["status"] == "completed"
    assert secrets_in(rig.log()) == []


def test_sentinels_and_data_server_are_called_with_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    with ExitStack() as stack:
        enter = stack.enter_context
        server = enter(Valkey(tmp_path / "server", password=PASSWORD))
        # Sentinel itself watches without TLS.
        data = enter(TlsFront(authority, server.port, plain=True))
        lines = f"sentinel monitor m 127.0.0.1 {data.port} 1\n"
        lines += f"sentinel auth-pass m {PASSWORD}\n"
        sentinel = enter(Valkey(tmp_path / "sentinel", lines, sentinel=True))
        front = enter(TlsFront(authority, sentinel.port))
        settings = RedisSettings(
            url=f"sentinel://:{PASSWORD}@127.0.0.1:{front.port}",
            sentinel_master="m",
            tls=True,
            tls_ca_file=str(authority.ca),
        )
        client = redis_client(settings)
        stack.callback(close_client, client)
        assert eventually(client.ping, timeout_s=10, message="a server")
        assert (front.encrypted, data.encrypted) == (1, 1)
