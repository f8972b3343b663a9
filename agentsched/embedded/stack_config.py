"""Owns the configuration file of the local stack; it holds no key."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from agentsched.config.settings import DEFAULT_INPUT_TOPICS
from agentsched.embedded.demo_models import DEMO_MODELS

OUTPUT_TOPIC = "results"
PARTITIONS = 3
DRAIN_S = 5.0
AGENTS = (
    {"id": "planner", "model": "gpt-4"},
    {"id": "researcher", "model": "llama3"},
    {"id": "archivist"},
)


def topics() -> dict[str, int]:
    """Every topic of the stack, with its number of partitions."""
    inputs = dict.fromkeys(DEFAULT_INPUT_TOPICS, PARTITIONS)
    letters = dict.fromkeys((f"{topic}.dead_letter" for topic in inputs), 1)
    return {**inputs, OUTPUT_TOPIC: PARTITIONS, **letters}


EMBEDDED_KAFKA_NEEDS = {"group_protocol": "consumer", "fetch_wait_ms": 10}
"""Two needs of the embedded broker; real Kafka does well without both."""


def write_config(
    path: Path,
    *,
    bootstrap: str,
    redis_url: str,
    base_url: str,
    kafka: Mapping[str, Any] = EMBEDDED_KAFKA_NEEDS,
) -> None:
    """Write `agentsched.yaml`, readable by its owner only.

    Args:
        path: the file; an old one is replaced.
        bootstrap: Kafka's addresses, with commas.
        redis_url: Redis's address.
        base_url: of the demo model server, which serves all models.
        kafka: more of the section `kafka`.
    """
    config: dict[str, Any] = {
        "kafka": {
            "bootstrap_servers": bootstrap.split(","),
            "input_topics": list(DEFAULT_INPUT_TOPICS),
            "output_topic": OUTPUT_TOPIC,
            **kafka,
        },
        "redis": {"url": redis_url},
        "models": [
            {
                "name": model.name,
                "queue": model.queue,
                "task_types": [task_type.value for task_type in model.task_types],
                "endpoints": [{"base_url": base_url, "capacity": model.capacity}],
            }
            for model in DEMO_MODELS
        ],
        "agents": [dict(agent) for agent in AGENTS],
        "timing": {"drain_s": DRAIN_S},
        # People read these logs, and errors quote their last lines.
        "logging": {"format": "text"},
    }
    text = "# Written by `agentsched demo` or `agentsched up`, at every start anew.\n"
    text += yaml.safe_dump(config, sort_keys=False)
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as opened:
        opened.write(text)
