"""Fixtures that every test may use: a clean environment, Redis, Kafka brokers."""

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hypothesis
import pytest

from agentsched.config.environment import OUR_ENVIRONMENT
from tests.support import leftovers, shared_servers
from tests.support.redis_servers import program_of_oldest_redis
from tests.support.running_kafka import RunningKafka

if TYPE_CHECKING:
    from agentsched.embedded.kafka import EmbeddedKafka

pytest_plugins = [
    "tests.support.hooks.groups",
    "tests.support.hooks.failure_logs",
    "tests.support.hooks.no_process_is_left",
]

# The same examples every time; how long one takes says nothing on a busy machine.
hypothesis.settings.register_profile(
    "agentsched", deadline=None, database=None, derandomize=True
)
hypothesis.settings.load_profile("agentsched")

# For the tests' own tools: where jars lie is no setting of the product.
KEPT = frozenset({"AGENTSCHED_KAFKA_JARS"})
_failed = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    if not is_worker(config):
        shared_servers.begin_run()
    leftovers.mark()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_failed] = exitstatus == pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    if not is_worker(config):
        shared_servers.end_run(keep_logs=config.stash.get(_failed, False))


def is_worker(config: pytest.Config) -> bool:
    """Whether this process runs tests for another one, which xdist started it for."""
    return hasattr(config, "workerinput")


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """No setting of the machine reaches a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            ours = name.startswith("AGENTSCHED_") or name in OUR_ENVIRONMENT
            if ours and name not in KEPT:
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def redis_url(valkey_url: str) -> str:
    """Of a server that will do; the contract tests use more than one."""
    return valkey_url


@pytest.fixture(scope="session")
def valkey_url() -> str:
    """The embedded server of the run; one test may see another's keys."""
    return str(shared_servers.shared("valkey")["url"])


@pytest.fixture(scope="session")
def oldest_redis() -> Path:
    """The program of a Redis of the oldest version that we allow, 6.2."""
    program = program_of_oldest_redis()
    if program is None:
        _not_tested("Redis 6.2: it has no build for this machine or this Python")
    return program


@pytest.fixture(scope="session")
def oldest_redis_url(oldest_redis: Path) -> str:
    """Of a server of that version; one test may see another's keys."""
    del oldest_redis  # says what was not tested where there is none
    return str(shared_servers.shared("oldest-redis")["url"])


@pytest.fixture(scope="session")
def kafka() -> RunningKafka:
    """One node of real Apache Kafka for the whole run (mark: `kafka`)."""
    try:
        told = shared_servers.shared("kafka")
    except shared_servers.Unavailable as error:
        _not_tested(f"real Apache Kafka: {error}")
    return RunningKafka(told["bootstrap"], tuple(told["pids"]))


def _not_tested(against: str) -> NoReturn:
    text = f"NOT TESTED against {against}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture
def topic_prefix() -> str:
    """Keeps the topics and groups of one test apart from all others."""
    return f"t{uuid.uuid4().hex[:10]}."


@dataclass(frozen=True)
class Broker:
    """A broker of either kind."""

    kind: str
    bootstrap: str
    create_topics: Callable[[dict[str, int]], None]
    properties: dict[str, object]
    """What clients should set on this broker."""


@pytest.fixture(scope="session")
def embedded_kafka(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator["EmbeddedKafka"]:
    """The embedded broker of this worker; it makes topics only for who started it."""
    # Imported late: collecting a unit test must not need the local stack.
    from agentsched.embedded.kafka import EmbeddedKafka  # noqa: PLC0415

    with EmbeddedKafka({}, tmp_path_factory.mktemp("kafka") / "kafka.log") as mock:
        leftovers.spare(mock.pid)
        yield mock


@pytest.fixture(
    scope="session",
    params=["embedded", pytest.param("real", marks=pytest.mark.kafka)],
)
def broker(request: pytest.FixtureRequest) -> Broker:
    """The embedded Kafka, then the real one."""
    if request.param == "real":
        cluster = request.getfixturevalue("kafka")
        return Broker("real", cluster.bootstrap, cluster.create_topics, {})
    mock = request.getfixturevalue("embedded_kafka")

    def create_topics(topics: dict[str, int]) -> None:
        for name, partitions in topics.items():
            mock.create_topic(name, partitions)

    quick = {"group.protocol": "consumer", "fetch.wait.max.ms": 10}
    return Broker("embedded", mock.bootstrap, create_topics, quick)
