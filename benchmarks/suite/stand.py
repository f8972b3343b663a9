"""The test stand: real Kafka and a model server for the whole run.

Each session has a Redis, topics and a system of its own.
"""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

from confluent_kafka.admin import AdminClient, NewTopic

from agentsched.embedded.apache_kafka import ApacheKafka
from agentsched.embedded.loopback import free_port
from agentsched.embedded.valkey import EmbeddedValkey
from benchmarks.suite.load import Load
from benchmarks.suite.model import Model
from benchmarks.suite.session import Session
from benchmarks.suite.systems import Setting, System, python_path

MODEL_NAMES = ("m", "n", "o")


class Kafka(NamedTuple):
    """Where it is, and its process."""

    bootstrap: str
    pid: int


class Stand:
    """Kafka and the model server; a context manager. Blocks until both are there.

    Args:
        report: is told what is being done.
        keep_logs: leave the folder where it is.
        kafka: one that runs already; None: start one, real as well.
    """

    def __init__(
        self,
        report: Callable[[str], None],
        *,
        keep_logs: bool = False,
        kafka: Kafka | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="agentsched-bench-"))
        self._report = report
        self._keep_logs = keep_logs
        self._given_kafka = kafka
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            if not self._keep_logs:
                stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.model = stack.enter_context(Model(self.folder, python_path()))
            self.kafka = self._given_kafka or self._start_kafka(stack)
            self._admin = AdminClient(
                {"bootstrap.servers": self.kafka.bootstrap, "log_level": 0}
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def session(
        self, system: System, slots: int, *, models: int = 1, workers: int = 1
    ) -> Iterator[Session]:
        """Start a system with so many slots a model, and wait until it answers."""
        name = f"b{uuid.uuid4().hex[:8]}"
        folder = self.folder / f"{name}-{system.name}-{slots}"
        folder.mkdir()
        topics = {cls: f"{name}.{cls}_priority" for cls in ("high", "medium", "low")}
        output = f"{name}.results"
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.topics([*topics.values(), output]))
            valkey = stack.enter_context(
                EmbeddedValkey(folder / "valkey", folder / "valkey.log")
            )
            setting = Setting(
                folder=folder,
                bootstrap=self.kafka.bootstrap,
                topics=topics,
                output_topic=output,
                group=f"{name}-group",
                redis_url=valkey.url,
                base_url=self.model.base_url,
                slots=dict.fromkeys(MODEL_NAMES[:models], slots),
                workers=workers,
            )
            load = stack.enter_context(
                Load(setting.bootstrap, topics, output, MODEL_NAMES[:models])
            )
            servers = {
                "redis": valkey.child.pid,
                "kafka": self.kafka.pid,
                "model": self.model.child.pid,
                "load": os.getpid(),
            }
            session = Session(system, setting, load, self.model, servers)
            stack.callback(session.stop)
            session.start()
            session.warm_up()
            yield session

    def _start_kafka(self, stack: contextlib.ExitStack) -> Kafka:
        node = stack.enter_context(
            ApacheKafka(
                self.folder / "kafka",
                self.folder / "kafka.log",
                self._report,
                port=free_port(),
                controller_port=free_port(),
            )
        )
        return Kafka(node.bootstrap, node.child.pid)

    @contextlib.contextmanager
    def topics(self, names: list[str]) -> Iterator[None]:
        """Topics of one partition each, which are gone afterwards."""
        config = {"message.timestamp.type": "LogAppendTime"}
        topics = [NewTopic(name, 1, 1, config=config) for name in names]
        for future in self._admin.create_topics(topics).values():
            future.result()
        yield
        # It is only the disk of this run: a failure harms nobody.
        for future in self._admin.delete_topics(names).values():
            with contextlib.suppress(Exception):
                future.result()
