"""Owns one node of real Apache Kafka as a child process: for `agentsched up`.

What it acknowledged stays in its folder from run to run. One node is no cluster: a
disk that is lost takes all with it.
"""

import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path

from agentsched.embedded import apache_node
from agentsched.embedded.apache_jars import kafka_jars
from agentsched.embedded.child_process import GuardedChild
from agentsched.embedded.stoppable import Stoppable
from agentsched.errors import EmbeddedError

PORT = 9092
CONTROLLER_PORT = 9093
START_S = 60.0
STOP_S = 10.0
"""A controlled shutdown takes up to 5 s (measured)."""
POLL_S = 0.05


class ApacheKafka(Stoppable):
    """A running node. Blocks until it listens: 2 s, longer where jars are missing.

    Args:
        folder: its settings and its data.
        log_path: the process's log.
        report: is told what is being done.
        port: where clients find it, on loopback.
        controller_port: its own.

    Raises:
        ApacheKafkaUnavailable: no Java here, or no jars.
        EmbeddedError: the port is taken, or it did not start.
    """

    def __init__(
        self,
        folder: Path,
        log_path: Path,
        report: Callable[[str], None],
        port: int = PORT,
        controller_port: int = CONTROLLER_PORT,
    ) -> None:
        for number in (port, controller_port):
            _insist_on_free(number)
        jars = kafka_jars(report)
        report("Apache Kafka")
        self.bootstrap = f"localhost:{port}"
        properties = _prepare(folder, jars, port, controller_port)
        self.child = GuardedChild(
            [*apache_node.java_command(jars, "kafka.Kafka"), str(properties)],
            log_path=log_path,
            name="Kafka",
        )
        self._wait(port)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.child.alive

    def failure(self, what: str) -> EmbeddedError:
        """Build the error that names this process, its log and the log's end."""
        return self.child.failure(what)

    def stop(self) -> None:
        """End it in order; blocks; may be called twice."""
        self.child.stop(STOP_S)

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + START_S
        while not _listens(port):
            if not self.alive or time.monotonic() > deadline:
                failure = self.failure("did not start")
                self.stop()
                raise failure
            time.sleep(POLL_S)


def _prepare(folder: Path, jars: Path, port: int, controller_port: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    properties, data = folder / "node.properties", folder / "data"
    settings = apache_node.node_settings(0, [port], [controller_port], data)
    apache_node.write_properties(properties, settings)
    if not (data / "meta.properties").is_file():
        apache_node.format_storage(jars, properties, apache_node.new_cluster_id())
    return properties


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def _insist_on_free(port: int) -> None:
    if _listens(port):
        raise EmbeddedError(
            f"port {port} is taken: is another Kafka running? Stop it, or leave"
            " --kafka apache out"
        )
