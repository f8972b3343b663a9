"""Owns the embedded Kafka's process (`kafka_mock.py`), seen from the parent.

A ring in memory of 5 MiB a partition: what nobody read in time is gone without an
error, and everything is gone when it ends. Consumers need `group.protocol=consumer`
and `fetch.wait.max.ms` of 10 or so, else they wait long (its fetches do not wake up).
"""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from agentsched.embedded.log_file import LogFile
from agentsched.embedded.stoppable import Stoppable
from agentsched.errors import EmbeddedError

HOST = Path(__file__).with_name("kafka_mock.py")
STOP_TIMEOUT_S = 5.0


class EmbeddedKafka(Stoppable):
    """A running mock broker. Blocks until it listens (0.2 s).

    Args:
        topics: name -> number of partitions.
        log_path: the process's log.

    Raises:
        EmbeddedError: it did not start.
    """

    def __init__(self, topics: Mapping[str, int], log_path: Path) -> None:
        self.name = "Kafka"
        self._log = LogFile(log_path)
        self._control = threading.Lock()
        self._host = subprocess.Popen(  # noqa: S603
            [
                sys.executable,
                # Not its own folder first in the path: `types.py` is beside it.
                "-P",
                str(HOST),
                *(f"{name}:{partitions}" for name, partitions in topics.items()),
            ],
            # The control channel, and the life line: it ends when this closes.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log.fileno(),
            start_new_session=True,
            text=True,
        )
        self.bootstrap: str = str(self._answer()["bootstrap"])
        """What clients take as `bootstrap.servers`."""

    def create_topic(self, name: str, partitions: int) -> None:
        """Make a topic; AdminClient cannot do it on this broker.

        Raises:
            EmbeddedError: it exists already, or the broker has ended.
        """
        with self._control:
            if self._host.stdin is None or not self.alive:
                raise self.failure("has ended")
            self._host.stdin.write(f"{name}:{partitions}\n")
            self._host.stdin.flush()
            code = self._answer()["rc"]
        if code:
            raise EmbeddedError(
                f"the embedded Kafka refuses topic {name!r} with {partitions}"
                f" partitions (code {code}): does it exist already?"
            )

    @property
    def pid(self) -> int:
        """The broker's process."""
        return self._host.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._host.poll() is None

    @property
    def log_path(self) -> Path:
        """Where the process writes its log."""
        return self._log.path

    def signal(self, number: int) -> None:
        """Send a signal to the process; nothing happens when it has ended."""
        self._host.send_signal(number)

    def failure(self, what: str) -> EmbeddedError:
        """Build the error that names this process, its log and the log's end."""
        return EmbeddedError(f"the embedded Kafka {what}; {self._log.quote()}")

    def stop(self) -> None:
        """End it; all records are gone. May be called twice."""
        if self.alive:
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)
        try:
            self._host.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._host.kill()
            self._host.wait()
        for pipe in (self._host.stdin, self._host.stdout):
            if pipe is not None:
                pipe.close()
        self._log.close()

    def _answer(self) -> dict[str, object]:
        line = self._host.stdout.readline() if self._host.stdout else ""
        if not line:
            failure = self.failure("did not start, or has ended")
            self.stop()
            raise failure
        answer: dict[str, object] = json.loads(line)
        return answer
