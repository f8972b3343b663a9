"""The systems under test: which processes each has, and what it does not do.

All have one interface: requests in on three topics, replies out on one; all are told
the same (`Setting`). Each peer is set up as its own documentation recommends.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from agentsched.embedded.services import environment

ROOT = Path(__file__).parents[2]
PEERS = "benchmarks.suite.peers"
QUIET = ("--without-gossip", "--without-mingle", "--loglevel", "WARNING")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a system is told when it starts."""

    folder: Path
    bootstrap: str
    topics: Mapping[str, str]
    """Class -> input topic; high, medium, low."""
    output_topic: str
    group: str
    redis_url: str
    base_url: str
    slots: Mapping[str, int]
    """Model -> calls at once."""
    workers: int = 1
    """Worker processes of a model, where a system can have several; they share its slots."""


@dataclass(frozen=True, slots=True)
class Program:
    """One process of a system."""

    name: str
    argv: list[str]
    env: Mapping[str, str]

    @property
    def role(self) -> str:
        """What it is measured as: all workers are `worker`."""
        return self.name.split("-")[0]


@dataclass(frozen=True, slots=True)
class System:
    """One system under test."""

    name: str
    title: str
    lacks: str
    """What it does not do, of what AgentSched does; for the report."""
    programs: Callable[[Setting], list[Program]]
    has_models: bool = True
    """Whether each model can have slots of its own."""


def python_path() -> dict[str, str]:
    """Return our environment, in which the repository's modules are found."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _peer_env(setting: Setting) -> dict[str, str]:
    return python_path() | {
        "BENCH_BOOTSTRAP": setting.bootstrap,
        "BENCH_TOPICS": ",".join(setting.topics.values()),
        "BENCH_OUTPUT": setting.output_topic,
        "BENCH_GROUP": setting.group,
        "BENCH_REDIS_URL": setting.redis_url,
        "BENCH_MODEL_URL": setting.base_url,
        "BENCH_SLOTS": json.dumps(dict(setting.slots)),
    }


def _module(*words: str) -> list[str]:
    return [sys.executable, "-m", *words]


def _agentsched(setting: Setting) -> list[Program]:
    config = setting.folder / "agentsched.yaml"
    config.write_text(yaml.safe_dump(_configuration(setting)), "utf-8")
    env = environment(python_path(), config, {})
    made = [Program("bridge", _module("bridge"), env)]
    for model in setting.slots:
        for number in range(setting.workers):
            options = ["-Q", model, "-n", f"{model}{number}@%h", *QUIET]
            argv = _module("celery", "-A", "agentsched", "worker", *options)
            made.append(Program(f"worker-{model}-{number}", argv, env))
    return made


def _configuration(setting: Setting) -> dict[str, object]:
    return {
        "kafka": {
            "bootstrap_servers": [setting.bootstrap],
            "input_topics": list(setting.topics.values()),
            "output_topic": setting.output_topic,
            "group_id": setting.group,
        },
        "redis": {"url": setting.redis_url},
        # A million requests are indexed at once; the default stops before that.
        "limits": {"index_max_bytes": 4 * 2**30},
        "models": [
            {
                "name": model,
                "endpoints": [{"base_url": setting.base_url, "capacity": slots}],
            }
            for model, slots in setting.slots.items()
        ],
    }


def _handwritten(setting: Setting) -> list[Program]:
    return [Program("worker", _module(f"{PEERS}.handwritten"), _peer_env(setting))]


def _celery(pool: str) -> Callable[[Setting], list[Program]]:
    def programs(setting: Setting) -> list[Program]:
        app, env = f"{PEERS}.celery_app", _peer_env(setting)
        made = [Program("feeder", _module(app), env)]
        for model, slots in setting.slots.items():
            for number in range(setting.workers):
                size = str(slots // setting.workers)
                options = ["-Q", model, "-P", pool, "-c", size]
                options += ["-n", f"{model}{number}@%h", *QUIET]
                argv = _module("celery", "-A", app, "worker", *options)
                made.append(Program(f"worker-{model}-{number}", argv, env))
        return made

    return programs


def _taskiq(setting: Setting) -> list[Program]:
    app, env = f"{PEERS}.taskiq_app", _peer_env(setting)
    made = [Program("feeder", _module(app), env)]
    for model, slots in setting.slots.items():
        options = ["--workers", str(setting.workers), "--log-level", "WARNING"]
        options += ["--max-async-tasks", str(slots // setting.workers)]
        argv = _module("taskiq", "worker", f"{app}:broker", *options)
        made.append(Program(f"worker-{model}", argv, env | {"BENCH_QUEUE": model}))
    return made


def _dramatiq(setting: Setting) -> list[Program]:
    app, env = f"{PEERS}.dramatiq_app", _peer_env(setting)
    made = [Program("feeder", _module(app), env)]
    for model, slots in setting.slots.items():
        size = str(slots // setting.workers)
        options = ["-p", str(setting.workers), "-t", size, "-Q", model]
        argv = _module("dramatiq", app, *options)
        made.append(Program(f"worker-{model}", argv, env))
    return made


def _faststream(setting: Setting) -> list[Program]:
    return [Program("worker", _module(f"{PEERS}.faststream_app"), _peer_env(setting))]


_QUEUE_LACKS = (
    "no order across what waits beyond {order}; no deadlines, fairness, capacity over"
    " several workers, typed errors or dead letters; a kill between two steps loses or"
    " repeats"
)

SYSTEMS = {
    system.name: system
    for system in (
        System("agentsched", "AgentSched", "", _agentsched),
        System(
            "handwritten",
            "hand-written asyncio consumer",
            "no order by class, no retries, deadlines, fairness or capacity over several"
            " processes; a crash loses what ran, or repeats it",
            _handwritten,
        ),
        System(
            "celery-threads",
            "plain Celery on Redis, threads",
            _QUEUE_LACKS.format(order="its four priority steps"),
            _celery("threads"),
        ),
        System(
            "celery-prefork",
            "plain Celery on Redis, prefork",
            _QUEUE_LACKS.format(order="its four priority steps"),
            _celery("prefork"),
        ),
        System(
            "taskiq",
            "taskiq on Redis streams",
            _QUEUE_LACKS.format(order="arrival"),
            _taskiq,
        ),
        System(
            "faststream",
            "FastStream on Kafka",
            "no order by class, no retries, deadlines or fairness, one limit for all"
            " models; a record is acknowledged before it is worked on, so a crash loses"
            " it, or repeats it",
            _faststream,
            has_models=False,
        ),
        System(
            "dramatiq",
            "dramatiq on Redis",
            _QUEUE_LACKS.format(order="what a worker has prefetched"),
            _dramatiq,
        ),
    )
}
