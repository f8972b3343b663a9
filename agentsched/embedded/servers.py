"""Owns the servers that the local stack stands on: Redis, Kafka, demo model server.

It knows nothing of bridges and workers.
"""

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from agentsched.config.settings import KafkaSettings
from agentsched.embedded.apache_kafka import ApacheKafka
from agentsched.embedded.child_process import GuardedChild
from agentsched.embedded.kafka import EmbeddedKafka
from agentsched.embedded.services import environment
from agentsched.embedded.stack_config import PARTITIONS, topics
from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.errors import EmbeddedError
from agentsched.kafka.admin.topics import ensure_topics

MODEL_SERVER_START_S = 30.0
PUBLISHED_MODEL_PORT = 30000
"""Where the published Quick Start looks for a model server."""
REDIS, KAFKA, MODELS = "Redis", "Kafka", "the model server"

Report = Callable[[str], None]


class KafkaKind(StrEnum):
    """Which Kafka the local stack has."""

    MOCK = "mock"
    """librdkafka's mock cluster: needs nothing, keeps nothing."""
    APACHE = "apache"
    """Apache Kafka, one node on localhost:9092: needs Java; keeps its records."""


class Server(Protocol):
    """A process that can be watched."""

    @property
    def alive(self) -> bool:
        """Whether it runs."""

    def failure(self, what: str) -> EmbeddedError:
        """The error that names it and its log."""

    def stop(self) -> object:
        """End it; blocks."""


class Servers:
    """Started together, in order; each can be started again by its name.

    Args:
        root: their folder; data and logs are below it.
        kind: which Kafka.
    """

    def __init__(self, root: Path, kind: KafkaKind) -> None:
        self.bootstrap = self.redis_url = self.base_url = ""
        self._root = root
        self._kind = kind
        self._running: dict[str, Server] = {}
        self._starts: dict[str, Callable[[Report], Server]] = {
            # First, because its lock keeps a second stack out of this folder.
            REDIS: self._start_redis,
            KAFKA: self._start_mock if kind is KafkaKind.MOCK else self._start_apache,
            MODELS: self._start_model_server,
        }
        self._redis_port = self._model_port = 0
        if kind is KafkaKind.APACHE:
            self._model_port = PUBLISHED_MODEL_PORT

    def start(self, report: Report) -> None:
        """Start all; blocks. Raises EmbeddedError, and leaves the rest to `stop`."""
        for name in self._starts:
            self.start_again(name, report)

    def start_again(self, name: str, report: Report) -> None:
        """Start one, at the address that it had; blocks. Raises EmbeddedError."""
        if (old := self._running.get(name)) is not None:
            old.stop()  # it stays in the list until there is a new one
        self._running[name] = self._starts[name](report)

    def dead(self) -> dict[str, EmbeddedError]:
        """Return the servers that have ended, each with what its log says."""
        return {
            name: server.failure("has ended")
            for name, server in self._running.items()
            if not server.alive
        }

    def failure(self) -> EmbeddedError | None:
        """Return the error that names the first server that has ended, or None."""
        return next(iter(self.dead().values()), None)

    def forgets(self, name: str) -> bool:
        """Return whether a restart of it loses records and its address."""
        return name == KAFKA and self._kind is KafkaKind.MOCK

    def stop(self) -> None:
        """End all; blocks; may be called twice."""
        for server in self._running.values():
            server.stop()
        self._running.clear()

    def _start_redis(self, report: Report) -> Server:
        report("Redis (Valkey)")
        folder, log = self._root / "valkey", self._log("valkey")
        valkey = EmbeddedValkey(folder, log, self._redis_port)
        self._redis_port, self.redis_url = valkey.port, valkey.url
        return valkey.child

    def _start_mock(self, report: Report) -> Server:
        report("Kafka (librdkafka's mock)")
        kafka = EmbeddedKafka(topics(), self._log("kafka"))
        self.bootstrap = kafka.bootstrap
        return kafka

    def _start_apache(self, report: Report) -> Server:
        kafka = ApacheKafka(self._root / "kafka", self._log("kafka"), report)
        self.bootstrap = kafka.bootstrap
        settings = KafkaSettings(bootstrap_servers=(kafka.bootstrap,))
        try:
            for partitions in (PARTITIONS, 1):
                names = [name for name, n in topics().items() if n == partitions]
                ensure_topics(settings, names, partitions)
        except BaseException:
            kafka.stop()
            raise
        return kafka

    def _start_model_server(self, report: Report) -> Server:
        report("the demo model server")
        options = ["--port", str(self._model_port)]
        if self._kind is KafkaKind.APACHE:
            options.append("--any-model")  # the Quick Start has names of its own
        server = GuardedChild(
            [sys.executable, "-m", "agentsched.embedded.model_server", *options],
            log_path=self._log("model_server"),
            env=environment(os.environ, self._root / "agentsched.yaml", {}),
            cwd=self._root,
            announces=True,
        )
        self.base_url = server.read_line(MODEL_SERVER_START_S)
        self._model_port = int(self.base_url.rsplit(":", 1)[1].split("/")[0])
        return server

    def _log(self, name: str) -> Path:
        return self._root / "logs" / f"{name}.log"
