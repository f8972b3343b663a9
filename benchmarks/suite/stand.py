"""The test stand: real Kafka and a model server for the whole run.

Each session has a Redis, topics and a system of its own.
"""

import contextlib
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from confluent_kafka.admin import AdminClient, NewTopic

from agentsched.embedded.apache_kafka import ApacheKafka
from agentsched.embedded.child_process import GuardedChild
from agentsched.embedded.loopback import free_port
from agentsched.embedded.valkey import EmbeddedValkey
from benchmarks.suite.load import Load
from benchmarks.suite.model import Model
from benchmarks.suite.numbers import Call
from benchmarks.suite.systems import Program, Setting, System, python_path
from benchmarks.suite.usage import Usage, trees

READY_S = 120.0
STOP_S = 30.0
WARM_UP_ROUNDS = 4
"""Requests for each slot before anything is measured."""
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
    ) -> Iterator["Session"]:
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


class Session:
    """One system that runs, and what is needed to measure it."""

    def __init__(
        self,
        system: System,
        setting: Setting,
        load: Load,
        model: Model,
        servers: Mapping[str, int],
    ) -> None:
        self.system = system
        self.setting = setting
        self.load = load
        self.model = model
        self._servers = servers
        self._programs = {each.name: each for each in system.programs(setting)}
        self._children: dict[str, GuardedChild] = {}

    @property
    def slots(self) -> int:
        """Of all models together."""
        return sum(self.setting.slots.values())

    def start(self) -> None:
        """Start every process; does not wait for them."""
        for program in self._programs.values():
            self._start(program)

    def stop(self) -> None:
        """End every process in order; may be called twice."""
        for child in self._children.values():
            child.ask_to_stop()
        for child in self._children.values():
            child.stop(STOP_S)
        self._children.clear()

    def warm_up(self) -> None:
        """Wait until requests of every class are answered, and all slots were used."""
        self.model.set_delay(20)
        for cls in self.setting.topics:
            self.load.wait(self.load.send(cls, 2), READY_S, self.check)
        count = WARM_UP_ROUNDS * self.slots
        self.load.wait(self.load.send("medium", count), READY_S, self.check)
        self.model.take_calls()

    def check(self) -> None:
        """Raise EmbeddedError, with the log's end, where a process has ended."""
        for child in self._children.values():
            if not child.alive:
                raise child.failure("has ended")

    def usage(self) -> Usage:
        """Begin to count CPU time, of each process by its role."""
        return Usage(
            {name: child.pid for name, child in self._children.items()}
            | dict(self._servers)
        )

    def by_role(self, values: Mapping[str, float]) -> dict[str, float]:
        """Add up what was counted for processes of the same role."""
        summed: dict[str, float] = {}
        for name, value in values.items():
            role = self._programs[name].role if name in self._programs else name
            summed[role] = summed.get(role, 0.0) + value
        return summed

    def own(self, by_role: Mapping[str, float]) -> float:
        """Return the sum over the system's own processes, without the servers."""
        return sum(v for role, v in by_role.items() if role not in self._servers)

    def calls(self, ids: Mapping[str, int]) -> list[Call]:
        """Take the model server's calls; those of these requests."""
        return [call for call in self.model.take_calls() if call.id in ids]

    def kill_a_worker(self) -> str:
        """End one worker and all below it without a chance to say goodbye."""
        name = next(n for n, p in self._programs.items() if p.role == "worker")
        child = self._children.pop(name)
        for pid in trees([child.pid])[child.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        child.stop()
        return name

    def restart(self, name: str) -> None:
        """Start a process that was killed."""
        self._start(self._programs[name])

    def _start(self, program: Program) -> None:
        self._children[program.name] = GuardedChild(
            program.argv,
            log_path=self.setting.folder / f"{program.name}.log",
            env=program.env,
            cwd=self.setting.folder,
        )
