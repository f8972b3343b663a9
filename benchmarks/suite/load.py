"""The agents' side: sends requests at a rate or at once, and notes every reply.

Rates are open-loop: a request is due by the clock, however slow the replies are, and
its latency counts from when it was due.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, Producer, TopicPartition

from agentsched.embedded.stoppable import Stoppable

CONTENT_BYTES = 400
POLL_S = 0.1
LOOK_EVERY_S = 0.02
"""How often is looked whether all is there; when a reply came is noted by its reader."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply, as it came; there may be several to a request."""

    at_ns: int
    value: bytes


class Incomplete(Exception):  # noqa: N818
    """Not all replies came in time."""


class Load(Stoppable):
    """One producer, and one consumer of the reply topic with a thread of its own.

    Args:
        bootstrap: where Kafka is.
        topics: class -> input topic.
        output_topic: where replies are; it has one partition.
        models: requests are for these in turn.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Mapping[str, str],
        output_topic: str,
        models: Sequence[str],
    ) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self._came: list[str] = []
        self._topics = topics
        self._models = models
        self._numbered = 0
        self._ended = threading.Event()
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "linger.ms": 0, "log_level": 0}
        )
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "benchmark",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(output_topic, 0, 0)])
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def send(
        self, cls: str, count: int, *, rate_per_s: float = 0, content_bytes: int = 0
    ) -> dict[str, int]:
        """Send requests; returns id -> when it was due.

        Args:
            cls: high, medium or low.
            count: how many.
            rate_per_s: 0: all at once.
            content_bytes: of the prompt; 0: 400.
        """
        due: dict[str, int] = {}
        padding = "x" * (content_bytes or CONTENT_BYTES)
        begin_ns = time.monotonic_ns()
        for number in range(count):
            at_ns = time.monotonic_ns()
            if rate_per_s:
                at_ns = begin_ns + round(number / rate_per_s * 1e9)
                self._wait_until(at_ns)
            due[self._send_one(cls, padding)] = at_ns
        if self._producer.flush(60):
            raise Incomplete("Kafka did not take all requests within 60 s")
        return due

    def wait(
        self,
        ids: Iterable[str],
        timeout_s: float,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Block until each request has a reply.

        Args:
            ids: of the requests.
            timeout_s: how long.
            check: is called meanwhile; what it raises ends the wait.

        Raises:
            Incomplete: some have none by then.
        """
        missing, arrivals = set(ids), self._arrivals()

        def all_are_there() -> bool:
            check()
            missing.difference_update(next(arrivals))
            return not missing

        _poll_until(all_are_there, timeout_s, lambda: f"{len(missing)} replies")

    def wait_for_count(self, ids: Iterable[str], count: int, timeout_s: float) -> None:
        """Block until so many of these have a reply; raises Incomplete."""
        missing, arrivals = set(ids), self._arrivals()
        left = len(missing) - count

        def enough_are_there() -> bool:
            missing.difference_update(next(arrivals))
            return len(missing) <= left

        _poll_until(enough_are_there, timeout_s, lambda: f"replies to reach {count}")

    def first_at_ns(self, request_id: str) -> int:
        """When the first reply to a request came."""
        return self.answers[request_id][0].at_ns

    def failed(self, ids: Mapping[str, int]) -> int:
        """How many of these were not completed."""
        return sum(
            json.loads(self.answers[each][0].value).get("status") != "completed"
            for each in ids
            if each in self.answers
        )

    def stop(self) -> None:
        """End it; may be called twice."""
        self._ended.set()
        self._thread.join(10)

    def _arrivals(self) -> Iterator[list[str]]:
        """Yield what came since the last time, at first all: nothing is read twice."""
        read = 0
        while True:
            new = self._came[read:]
            read += len(new)
            yield new

    def _send_one(self, cls: str, padding: str) -> str:
        self._numbered += 1
        request_id = f"r{self._numbered}"
        request = {
            "id": request_id,
            "correlation_id": request_id,
            "priority": cls,
            "model_id": self._models[self._numbered % len(self._models)],
            "content": f"[id:{request_id}] {padding}",
        }
        while True:
            try:
                self._producer.produce(
                    self._topics[cls],
                    json.dumps(request).encode(),
                    request_id,
                    headers=[("correlation_id", request_id.encode())],
                )
            except BufferError:
                self._producer.poll(POLL_S)
            else:
                return request_id

    def _wait_until(self, at_ns: int) -> None:
        self._producer.poll(0)
        left_s = (at_ns - time.monotonic_ns()) / 1e9
        if left_s > 0:
            time.sleep(left_s)

    def _read(self) -> None:
        while not self._ended.is_set():
            message = self._consumer.poll(POLL_S)
            if message is None or message.error():
                continue
            answer = Answer(time.monotonic_ns(), message.value())
            name = dict(message.headers() or ()).get("correlation_id", message.key())
            self.answers.setdefault(name.decode(), []).append(answer)
            self._came.append(name.decode())
        self._consumer.close()


def _poll_until(
    is_done: Callable[[], bool], timeout_s: float, what: Callable[[], str]
) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > deadline:
            raise Incomplete(f"{what()} did not come within {timeout_s:g} s")
        time.sleep(LOOK_EVERY_S)
