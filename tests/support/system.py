"""The whole system for tests: real Kafka, Valkey, bridges and workers as processes."""

import contextlib
import json
import os
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Self

import yaml
from confluent_kafka import Consumer, TopicPartition

from agentsched.config.loader import parse_settings
from agentsched.embedded.child_process import GuardedChild
from agentsched.embedded.services import environment
from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.kafka.producer import Producer
from agentsched.ledger.redis.ledger import RedisLedger
from tests.support.command import run_agentsched
from tests.support.model_server import ModelServer
from tests.support.pages import log_events
from tests.support.redis_servers import Valkey
from tests.support.replies import RawReplies
from tests.support.running_kafka import RunningKafka
from tests.support.waiting import eventually

CLASSES = ("high", "medium", "low")


class System:
    """Topics, a ledger and processes of one test; a context manager.

    Args:
        root: folder for configuration, logs and Redis's data.
        kafka: the broker; the topics get a prefix of their own.
        server: answers for all models.
        models: name -> capacity.
        classes: one input topic each.
        partitions: of every input topic.
        config: more of agentsched.yaml: sections, or keys of the three that are there.
        secrets: variable -> value, in the environment of workers.
        valkey: a server that is there; None: one of its own.
        python_path: a folder that comes first where the processes look for modules.
    """

    def __init__(
        self,
        root: Path,
        kafka: RunningKafka,
        server: ModelServer,
        models: Mapping[str, int],
        *,
        classes: tuple[str, ...] = CLASSES,
        partitions: int = 1,
        config: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        valkey: EmbeddedValkey | Valkey | None = None,
        python_path: Path | None = None,
    ) -> None:
        self.root = root
        self.kafka = kafka
        self.server = server
        self.prefix = f"t{uuid.uuid4().hex[:8]}."
        self.topics = {cls: f"{self.prefix}{cls}_priority" for cls in classes}
        self.output_topic = f"{self.prefix}results"
        self.group_id = f"{(config or {}).get('namespace', self.prefix)}-bridge"
        self.children: dict[str, GuardedChild] = {}
        self._stack = contextlib.ExitStack()
        self._models = models
        self._config = dict(config or {})
        self._secrets = dict(secrets or {})
        self._partitions = partitions
        self._shared_valkey = valkey
        first = [str(python_path)] if python_path else []
        self._python_path = [*first, str(Path(__file__).parents[2])]

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            names = [*self.topics.values(), self.output_topic]
            self.kafka.create_topics(dict.fromkeys(names, self._partitions))
            self.valkey = self._shared_valkey or stack.enter_context(
                EmbeddedValkey(self.root / "valkey", self.root / "valkey.log")
            )
            self._write_config()
            self.producer = Producer(self.kafka.bootstrap)
            stack.callback(self.producer.close)
            self.ledger = RedisLedger.of(self.settings)
            stack.callback(self.ledger.close)
            self.replies = stack.enter_context(
                RawReplies(self.kafka.bootstrap, self.output_topic, fetch_wait_ms=500)
            )
            stack.callback(self._stop_children)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, *, bridges: int = 1, workers: int = 1) -> Self:
        """Start bridges and workers (each model), and wait until all take work."""
        for number in range(bridges):
            self.bridge(f"bridge{number}")
        for model in self._models:
            for number in range(workers):
                self.worker(model, f"worker-{model}-{number}")
        wanted = {model: n * workers for model, n in self._models.items()}
        self.wait_for_slots(wanted)
        return self

    def wait_for_slots(self, wanted: Mapping[str, int], timeout_s: float = 90) -> None:
        """Wait until the live workers have so many slots per model."""
        eventually(
            lambda: self.ledger.membership.live_slots() == dict(wanted),
            timeout_s=timeout_s,
            message=f"workers with {wanted}; logs in {self.root}",
        )

    def bridge(self, name: str) -> GuardedChild:
        """Start one bridge."""
        return self._start(name, ["-m", "bridge"])

    def worker(self, queues: str, name: str, *more: str) -> GuardedChild:
        """Start one worker of a model (or several), with more options."""
        command = ["-m", "celery", "-A", "agentsched", "worker", "-Q", queues]
        options = ["-n", f"{name}@%h", "--without-gossip", "--without-mingle"]
        return self._start(name, [*command, *options, *more])

    def agentsched(self, *arguments: str) -> CompletedProcess[str]:
        """Run the command `agentsched` with this system's configuration."""
        return run_agentsched(self.root, *arguments, secrets=self._secrets)

    def kill(self, name: str) -> None:
        """End a process without a chance to say goodbye."""
        child = self.children.pop(name)
        child.signal(9)
        child.stop()

    def stop(self, name: str) -> int:
        """End a process in order; returns its exit code."""
        return self.children.pop(name).stop(120)

    def send(
        self, cls: str, count: int, *, label: str = "", **fields: Any
    ) -> list[str]:
        """Put requests on the topic of a class; returns their ids once Kafka has them."""
        label = label or cls
        ids = [f"{label}-{uuid.uuid4().hex[:6]}-{number}" for number in range(count)]
        sent = [
            self.producer.produce(
                {"id": id_, "correlation_id": id_, "content": id_} | fields,
                self.topics[cls],
                {"correlation_id": id_},
            )
            for id_ in ids
        ]
        for future in sent:
            future.result(20)
        return ids

    def committed(self, cls: str, partition: int = 0) -> int:
        """What the bridges have committed on the topic of a class; negative: nothing."""
        consumer = Consumer(
            {"bootstrap.servers": self.kafka.bootstrap, "group.id": self.group_id}
        )
        with contextlib.closing(consumer):
            place = TopicPartition(self.topics[cls], partition)
            return consumer.committed([place], timeout=10)[0].offset

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text("utf-8", "replace")

    def events(self, name: str, event: str) -> list[dict[str, Any]]:
        """The log lines of one event that a process has said so far."""
        return [one for one in log_events(self.log(name)) if one["event"] == event]

    def address(self, name: str) -> str:
        """Where a process serves its metrics and health, once it does."""
        said = eventually(
            lambda: self.events(name, "http_listening"),
            timeout_s=30,
            message=f"{name} has a port; its log is in {self.root}",
        )
        return said[0]["address"]

    def logs(self) -> dict[str, str]:
        """Every log of every process."""
        return {
            p.name: p.read_text("utf-8", "replace") for p in self.root.glob("*.log")
        }

    @property
    def settings(self):
        return parse_settings((self.root / "agentsched.yaml").read_text()).settings

    def environ_of(self, name: str) -> Mapping[str, str]:
        """What this process alone has in its environment; for tests of harm."""
        del name
        return {}

    def _start(self, name: str, command: list[str]) -> GuardedChild:
        child = GuardedChild(
            [sys.executable, *command],
            log_path=self.root / f"{name}.log",
            env=environment(
                os.environ | {"PYTHONPATH": os.pathsep.join(self._python_path)},
                self.root / "agentsched.yaml",
                {**self._secrets, **self.environ_of(name)},
            ),
            cwd=self.root,
        )
        self.children[name] = child
        return child

    def _stop_children(self) -> None:
        for child in self.children.values():
            child.ask_to_stop()
        for child in self.children.values():
            child.stop(120)

    def _write_config(self) -> None:
        endpoint = {"base_url": self.server.base_url}
        if self._secrets:
            endpoint["api_key_env"] = next(iter(self._secrets))
        data: dict[str, Any] = {
            "kafka": {
                "bootstrap_servers": self.kafka.bootstrap.split(","),
                "input_topics": list(self.topics.values()),
                "output_topic": self.output_topic,
            },
            "redis": {"url": self.valkey.url},
            "models": [
                {"name": name, "endpoints": [endpoint | {"capacity": capacity}]}
                for name, capacity in self._models.items()
            ],
        }
        if "namespace" not in self._config:
            data["kafka"]["group_id"] = self.group_id
        for name, section in self._config.items():
            both = isinstance(section, dict) and isinstance(data.get(name), dict)
            data[name] = data[name] | section if both else section
        text = json.dumps(data)
        (self.root / "agentsched.yaml").write_text(yaml.safe_dump(json.loads(text)))
