"""Redis behind TLS and a password: ledger, doorbells and a worker over `rediss://`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentsched.config.settings import RedisSettings
from agentsched.errors import LedgerUnavailable
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.redis.client import redis_client
from tests.integration.worker_rig import WorkerRig
from tests.support.redis_servers import Valkey
from tests.support.tls import Authority, TlsFront

PASSWORD = "hunter2"

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder / "ca")


@pytest.fixture(scope="module")
def front(folder: Path, authority: Authority) -> Iterator[TlsFront]:
    with (
        Valkey(folder / "valkey", password=PASSWORD) as server,
        TlsFront(authority, server.port) as front,
    ):
        yield front


@pytest.fixture(scope="module")
def section(authority: Authority, front: TlsFront) -> dict[str, str]:
    url = f"rediss://:{PASSWORD}@127.0.0.1:{front.port}/0"
    return {"url": url, "tls_ca_file": str(authority.ca)}


@pytest.fixture(scope="module")
def rig(folder: Path, section: dict[str, str]) -> Iterator[WorkerRig]:
    (folder / "rig").mkdir()
    with WorkerRig(folder / "rig", section, {"gpt-4": 2}) as rig:
        rig.ready_worker("-Q", "gpt4", "-l", "DEBUG")
        yield rig


def open_epoch(section) -> str:
    ledger = RedisLedger(redis_client(RedisSettings(**section)))
    try:
        return ledger.membership.beat().pulse.epoch
    finally:
        ledger.close()


def test_a_request_is_answered_over_tls(rig: WorkerRig, front: TlsFront) -> None:
    assert rig.reply_to(rig.request())["status"] == "completed"
    # The ledger of the test and the worker's, and Celery's on both sides.
    assert front.encrypted >= 4


def test_who_inspects_the_workers_sees_no_password(rig: WorkerRig) -> None:
    stats = rig.inspect()
    (worker,) = stats.values()
    assert worker["broker"]["transport"] == "rediss"
    assert PASSWORD not in json.dumps(stats)


def test_celery_report_shows_no_password(rig: WorkerRig) -> None:
    done = rig.celery("report")
    assert "broker_url" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr


def test_no_log_has_the_password(rig: WorkerRig) -> None:
    rig.reply_to(rig.request())
    assert "127.0.0.1" in rig.log()
    assert PASSWORD not in rig.log()


def test_a_certificate_of_a_stranger_is_refused(section: dict[str, str]) -> None:
    with pytest.raises(LedgerUnavailable) as error:
        open_epoch({"url": section["url"]})
    assert PASSWORD not in str(error.value)


def test_celery_refuses_a_certificate_of_a_stranger_too(
    tmp_path: Path, section: dict[str, str]
) -> None:
    code = (
        "from agentsched.celery import app\n"
        "try: app.connection_for_write().ensure_connection(max_retries=1)\n"
        "except Exception as error: print('refused', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"REDIS_URL": section["url"]},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert "refused" in done.stdout, done.stderr
    assert "CERTIFICATE_VERIFY_FAILED" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr


def test_a_certificate_for_another_host_is_refused_unless_told_otherwise(
    tmp_path: Path, front: TlsFront
) -> None:
    other = Authority(tmp_path, host="redis.example.com")
    with TlsFront(other, front._target) as stranger:
        url = f"rediss://:{PASSWORD}@127.0.0.1:{stranger.port}/0"
        section = {"url": url, "tls_ca_file": str(other.ca)}
        with pytest.raises(LedgerUnavailable):
            open_epoch(section)
        assert open_epoch(section | {"tls_check_hostname": False})


def test_a_wrong_password_is_said_without_it(section: dict[str, str]) -> None:
    wrong = section["url"].replace(PASSWORD, "wr0ng")
    with pytest.raises(LedgerUnavailable) as error:
        open_epoch(section | {"url": wrong})
    assert "wr0ng" not in str(error.value)
