"""Real Apache Kafka (KRaft) for tests: n nodes in a temporary folder, on this machine.

`python -m tests.support.kafka_cluster [NODES]` starts one by hand and prints where.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from agentsched.embedded import apache_node
from agentsched.embedded.apache_jars import kafka_jars
from tests.support.ports import free_ports
from tests.support.running_kafka import RunningKafka
from tests.support.tls import Authority
from tests.support.waiting import eventually

USER, PASSWORD = "bridge", "hunter2"
"""The login of the listeners that want one."""
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


def _say(line: str) -> None:
    """Past pytest's capture, so that a person sees why it takes long."""
    sys.__stderr__.write(f"\n{line}\n")
    sys.__stderr__.flush()


def _say_once() -> Callable[[str], None]:
    """Say the first word of a report only: pytest's output is no progress bar."""
    said: list[str] = []

    def report(line: str) -> None:
        if not said:
            said.append(line)
            _say(f"{line} ...")

    return report


class KafkaCluster(RunningKafka):
    """Nodes that are broker and controller at once; a context manager.

    Args:
        nodes: how many; internal topics have min(3, nodes) replicas.
        ports: the client port of each node; empty: free ones.
        overrides: more broker settings, for all nodes or computed from a node's index.
        authority: listeners with SASL (PLAIN), with and without TLS, beside the others.
    """

    def __init__(
        self,
        nodes: int = 1,
        *,
        ports: Sequence[int] = (),
        overrides: Mapping[str, object]
        | Callable[[int], Mapping[str, object]]
        | None = None,
        authority: Authority | None = None,
    ) -> None:
        self._jars = kafka_jars(_say_once())
        self.folder = Path(tempfile.mkdtemp(prefix="agentsched-kafka-"))
        self._ports = list(ports) or free_ports(nodes)
        super().__init__(",".join(f"127.0.0.1:{port}" for port in self._ports))
        self._controllers = free_ports(nodes)
        self._nodes: dict[int, subprocess.Popen[bytes]] = {}
        self._sasl, self._tls = free_ports(nodes), free_ports(nodes)
        self._authority = authority
        cluster_id = apache_node.new_cluster_id()
        for index in range(nodes):
            data, properties = self.folder / f"data{index + 1}", self._properties(index)
            settings = apache_node.node_settings(
                index, self._ports, self._controllers, data
            )
            more = overrides(index) if callable(overrides) else overrides or {}
            settings = self._secured(settings, index) | dict(more)
            apache_node.write_properties(properties, settings)
            apache_node.format_storage(self._jars, properties, cluster_id)

    @property
    def sasl_bootstrap(self) -> str:
        """Where a login is wanted."""
        return ",".join(f"127.0.0.1:{port}" for port in self._sasl)

    @property
    def tls_bootstrap(self) -> str:
        """Where a login is wanted, over TLS."""
        return ",".join(f"127.0.0.1:{port}" for port in self._tls)

    def log(self, index: int = 0) -> Path:
        return self.folder / f"node{index + 1}.log"

    def start(self) -> Self:
        """Start all nodes; blocks until each is in the metadata (2 to 5 s)."""
        try:
            for index in range(len(self._ports)):
                self.start_node(index)
            self.wait_until_up()
        except BaseException:
            self.stop(keep_logs=True)
            raise
        self.pids = tuple(node.pid for node in self._nodes.values())
        return self

    def wait_until_up(self) -> None:
        """Wait until every node is in the metadata."""
        eventually(self._is_up, timeout_s=START_S, message=f"see {self.folder}")

    def start_node(self, index: int) -> None:
        """Start one node; does not wait for it."""
        with self.log(index).open("ab") as log:
            self._nodes[index] = subprocess.Popen(
                [
                    *(sys.executable, "-c", MORTAL, str(os.getpid())),
                    *apache_node.java_command(self._jars, "kafka.Kafka"),
                    str(self._properties(index)),
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

    def restart_node(self, index: int) -> None:
        """End one node in order, and start it; blocks until all are there.

        Quicker than after `kill_node`, where the others wait for its session to end.
        """
        node = self._nodes.pop(index)
        node.terminate()
        node.wait(START_S)
        self.start_node(index)
        self.wait_until_up()

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

    def _secured(self, settings: dict[str, object], index: int) -> dict[str, object]:
        """Add two listeners that want a login, one of them with TLS."""
        if self._authority is None:
            return settings
        more = (
            f",SASL_PLAINTEXT://127.0.0.1:{self._sasl[index]}"
            f",SASL_SSL://127.0.0.1:{self._tls[index]}"
        )
        protocols = ",SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"
        jaas = (
            "org.apache.kafka.common.security.plain.PlainLoginModule required"
            f' user_{USER}="{PASSWORD}" user_agent="{PASSWORD}";'
        )
        key = "plain.sasl.jaas.config"
        return settings | {
            "listeners": f"{settings['listeners']}{more}",
            "advertised.listeners": f"{settings['advertised.listeners']}{more}",
            "listener.security.protocol.map": (
                f"{settings['listener.security.protocol.map']}{protocols}"
            ),
            "sasl.enabled.mechanisms": "PLAIN",
            f"listener.name.sasl_plaintext.{key}": jaas,
            f"listener.name.sasl_ssl.{key}": jaas,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self._authority.chain,
        }

    def _properties(self, index: int) -> Path:
        return self.folder / f"node{index + 1}.properties"


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
