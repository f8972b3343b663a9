"""The servers of one test run: the first test that asks starts one, all others share it.

A run is the pytest that was started and, with xdist, its workers. A server has a process
of its own, `python -m tests.support.shared_servers`, which ends with the run however that
ends; so a worker that ends, or crashes, takes no server from the others.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from agentsched.embedded.apache_jars import ApacheKafkaUnavailable
from agentsched.embedded.valkey import EmbeddedValkey
from tests.support.kafka_cluster import KafkaCluster
from tests.support.leftovers import MARK
from tests.support.redis_servers import Valkey, program_of_oldest_redis

RUN = "TEST_RUN"
"""The variable that names a run's folder, and by it the process that owns it."""
ROOT = Path(__file__).parents[2]
START_S = 180
QUICK_CLEANER = {"log.cleaner.backoff.ms": 200}
"""By default a compacted topic is looked at every 15 s."""


class Unavailable(Exception):  # noqa: N818
    """This machine cannot run the server; the text says why."""


def begin_run() -> None:
    """Make the folder of a run that this process owns; workers inherit its name."""
    os.environ[RUN] = tempfile.mkdtemp(prefix=f"agentsched-run-{os.getpid()}-")


def end_run(*, keep_logs: bool) -> None:
    """End all servers of the run; blocks until they have ended."""
    folder = Path(os.environ.pop(RUN))
    for file in folder.glob("*.pid"):
        with contextlib.suppress(ProcessLookupError):
            watch = os.pidfd_open(int(file.read_text()))
            signal.pidfd_send_signal(watch, signal.SIGTERM)
            select.select([watch], [], [])
            os.close(watch)
    if keep_logs and any(folder.iterdir()):
        sys.__stderr__.write(f"\nlogs of Kafka and Redis are kept: {folder}\n")
    else:
        shutil.rmtree(folder, ignore_errors=True)


def shared(name: str) -> dict[str, Any]:
    """The address of a server of this run, which is started if need be; blocks.

    Args:
        name: one of `SERVERS`.

    Raises:
        Unavailable: it cannot be had here.
    """
    folder = Path(os.environ[RUN])
    answer = folder / f"{name}.json"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not answer.exists():
            _start(name, folder)
    told: dict[str, Any] = json.loads(answer.read_text())
    if "unavailable" in told:
        raise Unavailable(told["unavailable"])
    return told


def _start(name: str, folder: Path) -> None:
    """Start it apart from this process, and read from a pipe until it is there."""
    owner = folder.name.split("-")[2]
    reading, writing = os.pipe()
    log = str(folder / f"{name}.log")
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", __spec__.name, name, owner, str(folder)],
        # It is no process of the test that happened to be the first.
        {k: v for k, v in os.environ.items() if k != MARK} | {"PYTHONPATH": str(ROOT)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 2, log, flags, 0o600),
            (os.POSIX_SPAWN_DUP2, writing, 1),
        ],
        setsid=True,
    )
    (folder / f"{name}.pid").write_text(str(pid))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        readable, _, _ = select.select([pipe], [], [], START_S)
        line = pipe.readline() if readable else b""
    if not line:
        raise AssertionError(f"{name} did not start: {Path(log).read_text()[-2000:]}")
    (folder / f"{name}.json").write_bytes(line)


# -- the process of a server --------------------------------------------------------


@contextmanager
def _kafka(_folder: Path) -> Iterator[dict[str, Any]]:
    try:
        cluster = KafkaCluster(overrides=QUICK_CLEANER)
    except ApacheKafkaUnavailable as error:
        yield {"unavailable": str(error)}
        return
    cluster.start()
    try:
        yield {"bootstrap": cluster.bootstrap, "pids": cluster.pids}
    finally:
        cluster.stop(keep_logs=True)


@contextmanager
def _valkey(folder: Path) -> Iterator[dict[str, Any]]:
    with EmbeddedValkey(folder / "valkey", folder / "valkey-server.log") as server:
        yield {"url": server.url}


@contextmanager
def _oldest_redis(folder: Path) -> Iterator[dict[str, Any]]:
    program = program_of_oldest_redis()
    if program is None:
        yield {"unavailable": "it has no build for this machine or this Python"}
        return
    with Valkey(folder / "oldest-redis", program=program) as server:
        yield {"url": server.url}


SERVERS: dict[str, Callable[[Path], AbstractContextManager[dict[str, Any]]]] = {
    "kafka": _kafka,
    "valkey": _valkey,
    "oldest-redis": _oldest_redis,
}


def main() -> None:
    name, owner, folder = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    run = os.pidfd_open(int(owner))
    tempfile.tempdir = folder
    with SERVERS[name](Path(folder)) as told:
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        select.select([run], [], [])


if __name__ == "__main__":
    main()
