"""Real Apache Kafka (KRaft) for tests: n nodes in a temporary folder, on this machine.

`python -m tests.support.kafka_cluster [NODES]` starts one by hand and prints where.
"""

import base64
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from tests.support.waiting import eventually

POM = Path(__file__).parent / "kafka" / "pom.xml"
JAVA_FLAGS = ["-Xmx512m", "-Xms128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
START_S = 60.0
STOP_S = 10.0
# The node ends with the thread that started it, however that ends (PR_SET_PDEATHSIG
# outlives exec); a preexec_fn would do the same, but is unsafe beside threads.
MORTAL = (
    "import ctypes, os, signal, sys;"
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL);"
    "os.getppid() == int(sys.argv[1]) or os._exit(1);"
    "os.execvp(sys.argv[2], sys.argv[2:])"
)


class KafkaNotAvailable(Exception):  # noqa: N818
    """This machine cannot run Apache Kafka; the text says what is missing."""


def kafka_jars() -> Path:
    """The folder with Kafka's jars, filled by Maven once per machine.

    Raises:
        KafkaNotAvailable: no Java, no Maven, or no jars to be had.
    """
    if not shutil.which("java"):
        raise KafkaNotAvailable("no `java` here")
    if given := os.environ.get("AGENTSCHED_KAFKA_JARS"):
        return Path(given)
    folder = Path.home() / ".cache" / "agentsched-kafka-jars"
    stamp = folder / "pom.xml"
    if stamp.is_file() and stamp.read_bytes() == POM.read_bytes():
        return folder
    _download(folder)
    return folder


def _download(folder: Path) -> None:
    maven = shutil.which("mvn")
    if not maven:
        raise KafkaNotAvailable("no `mvn` here to get Kafka's jars (43 MB)")
    _say(f"getting Apache Kafka's jars (43 MB) into {folder} ...")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A folder of its own first: two runs at once must not see each other's half.
    fresh = Path(tempfile.mkdtemp(prefix="agentsched-kafka-jars-", dir=folder.parent))
    goal = [f"-DoutputDirectory={fresh}", "-DincludeScope=runtime"]
    run = subprocess.run(
        [maven, "-q", "-B", "-f", POM, "dependency:copy-dependencies", *goal],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        shutil.rmtree(fresh)
        raise KafkaNotAvailable(f"Maven got no jars: {run.stdout[-500:]}")
    shutil.copy(POM, fresh / "pom.xml")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _say(line: str) -> None:
    """Past pytest's capture, so that a person sees why it takes long."""
    sys.__stderr__.write(f"\n{line}\n")
    sys.__stderr__.flush()


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class KafkaCluster:
    """Nodes that are broker and controller at once; a context manager.

    Args:
        nodes: how many; internal topics have min(3, nodes) replicas.
        ports: the client port of each node; empty: free ones.
        overrides: more broker settings.
    """

    def __init__(
        self,
        nodes: int = 1,
        *,
        ports: Sequence[int] = (),
        overrides: Mapping[str, object] | None = None,
    ) -> None:
        self._classpath = f"{kafka_jars()}/*"
        self.folder = Path(tempfile.mkdtemp(prefix="agentsched-kafka-"))
        self._ports = list(ports) or free_ports(nodes)
        self._controllers = free_ports(nodes)
        self._nodes: dict[int, subprocess.Popen[bytes]] = {}
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        for index in range(nodes):
            settings = self._settings(index) | dict(overrides or {})
            self._properties(index).write_text(
                "".join(f"{key}={value}\n" for key, value in settings.items())
            )
            self._format(index, cluster_id)

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self._ports)

    def log(self, index: int = 0) -> Path:
        return self.folder / f"node{index + 1}.log"

    def start(self) -> Self:
        """Start all nodes; blocks until each is in the metadata (2 to 5 s)."""
        try:
            for index in range(len(self._ports)):
                self.start_node(index)
            eventually(self._is_up, timeout_s=START_S, message=f"see {self.folder}")
        except BaseException:
            self.stop(keep_logs=True)
            raise
        return self

    def start_node(self, index: int) -> None:
        """Start one node; does not wait for it."""
        with self.log(index).open("ab") as log:
            self._nodes[index] = subprocess.Popen(
                [
                    *(sys.executable, "-c", MORTAL, str(os.getpid())),
                    *("java", *JAVA_FLAGS, "-cp", self._classpath),
                    *("kafka.Kafka", self._properties(index)),
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is pytest's: it stops us in order
            )

    def kill_node(self, index: int) -> None:
        """End one node without a chance to say goodbye."""
        node = self._nodes.pop(index)
        node.kill()
        node.wait()

    def signal_node(self, index: int, number: int) -> None:
        self._nodes[index].send_signal(number)

    def create_topics(
        self, topics: Mapping[str, int], config: Mapping[str, str] | None = None
    ) -> None:
        """Create {name: partitions}, stamped with the broker's time unless said else."""
        config = {"message.timestamp.type": "LogAppendTime", **(config or {})}
        replicas = min(3, len(self._ports))
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        wanted = [
            NewTopic(name, partitions, replicas, config=config)
            for name, partitions in topics.items()
        ]
        for future in admin.create_topics(wanted).values():
            future.result()
        eventually(
            lambda: set(topics) <= set(admin.list_topics(timeout=5).topics),
            message="the new topics are not in the metadata",
        )

    def stop(self, *, keep_logs: bool = False) -> None:
        """End every node; may be called twice. The data goes, the logs may stay."""
        for index in list(self._nodes):
            self.kill_node(index)
        if not keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        for data in self.folder.glob("data*"):
            shutil.rmtree(data, ignore_errors=True)
        _say(f"Kafka's logs are kept: {self.folder}")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.stop(keep_logs=kind is not None)

    def _is_up(self) -> bool:
        for index, node in self._nodes.items():
            if node.poll() is not None:
                raise AssertionError(f"Kafka ended: see {self.log(index)}")
        admin = AdminClient(
            # The first tries are refused: no line of the client's about that.
            {"bootstrap.servers": self.bootstrap, "log_level": 0}
        )
        try:
            return len(admin.list_topics(timeout=1).brokers) == len(self._ports)
        except KafkaException:
            return False

    def _properties(self, index: int) -> Path:
        return self.folder / f"node{index + 1}.properties"

    def _format(self, index: int, cluster_id: str) -> None:
        main = ["kafka.tools.StorageTool", "format", "-t", cluster_id]
        command = ["java", *JAVA_FLAGS, "-cp", self._classpath, *main]
        subprocess.run(
            [*command, "-c", self._properties(index)], check=True, capture_output=True
        )

    def _settings(self, index: int) -> dict[str, object]:
        replicas = min(3, len(self._ports))
        in_sync = min(2, replicas)
        port, controller = self._ports[index], self._controllers[index]
        return {
            "process.roles": "broker,controller",
            "node.id": index + 1,
            "controller.quorum.voters": ",".join(
                f"{number + 1}@127.0.0.1:{each}"
                for number, each in enumerate(self._controllers)
            ),
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": self.folder / f"data{index + 1}",
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


def main() -> None:
    with KafkaCluster(int(sys.argv[1]) if len(sys.argv) > 1 else 1) as cluster:
        _say(cluster.bootstrap)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            _say("stopping")


if __name__ == "__main__":
    main()
