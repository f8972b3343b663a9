"""Owns what one node of Apache Kafka (KRaft) is told: settings, format, command line.

It starts nothing that stays.
"""

import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from agentsched.errors import EmbeddedError

JAVA_FLAGS = ("-Xmx512m", "-Xms128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""345 MB resident, and a start of 2 s, on two cores (measured)."""
MAX_REPLICAS = 3
MAX_IN_SYNC = 2


def node_settings(
    index: int, ports: Sequence[int], controllers: Sequence[int], data: Path
) -> dict[str, object]:
    """Return the settings of one node that is broker and controller at once.

    Args:
        index: which of the nodes, from 0.
        ports: every node's port for clients; all listen on loopback.
        controllers: every node's port for the controllers.
        data: this node's folder.
    """
    replicas = min(MAX_REPLICAS, len(ports))
    in_sync = min(MAX_IN_SYNC, replicas)
    voters = (f"{n + 1}@127.0.0.1:{port}" for n, port in enumerate(controllers))
    client, controller = ports[index], controllers[index]
    return {
        "process.roles": "broker,controller",
        "node.id": index + 1,
        "controller.quorum.voters": ",".join(voters),
        "listeners": f"PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{client}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": data,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "group.initial.rebalance.delay.ms": 0,
        "auto.create.topics.enable": "false",
    }


def write_properties(path: Path, settings: Mapping[str, object]) -> None:
    """Write a node's settings as the file that Kafka reads."""
    text = "".join(f"{key}={value}\n" for key, value in settings.items())
    path.write_text(text, "utf-8")


def new_cluster_id() -> str:
    """Return what all nodes of one cluster are formatted with."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def java_command(jars: Path, main: str) -> list[str]:
    """Return the command that runs one of Kafka's programs, without its arguments."""
    return ["java", *JAVA_FLAGS, "-cp", f"{jars}/*", main]


def format_storage(jars: Path, properties: Path, cluster_id: str) -> None:
    """Prepare a node's empty data folder; blocks for half a second.

    Raises:
        EmbeddedError: Kafka refused, with its own words.
    """
    command = java_command(jars, "kafka.tools.StorageTool")
    # With "=": an id may begin with a dash, which would be taken for an option.
    done = subprocess.run(  # noqa: S603
        [*command, "format", f"--cluster-id={cluster_id}", "-c", str(properties)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise EmbeddedError(f"Kafka did not format its folder: {done.stderr[-500:]}")
