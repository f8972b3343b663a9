"""Reads a reply topic as it is, from its beginning: every record, also duplicates.

Conflict records are no replies: they are kept apart.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from agentsched.wire.conflicts import is_conflict
from tests.support.waiting import eventually


class RawReplies:
    """Collects the records of one topic on a thread; a context manager.

    Args:
        bootstrap: where Kafka is.
        topic: what to read.
        decode: turns a record's value into what `all` returns.
        fetch_wait_ms: of its consumer. The embedded broker wakes no fetch that waits.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        decode: Callable[[bytes], Any] = json.loads,
        fetch_wait_ms: int = 10,
    ) -> None:
        self._decode = decode
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "raw-replies",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": fetch_wait_ms,
            }
        )
        partitions = self._consumer.list_topics(topic, timeout=10).topics[topic]
        self._consumer.assign(
            [
                TopicPartition(topic, number, OFFSET_BEGINNING)
                for number in partitions.partitions
            ]
        )
        self._lock = threading.Lock()
        self._records: list[tuple[str, Any, dict[str, str]]] = []
        self._raw: list[tuple[str, bytes]] = []
        self._times_ms: list[int] = []
        self._conflicts: list[tuple[Any, dict[str, str]]] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="raw-replies")

    def all(self) -> list[Any]:
        """Every reply so far, duplicates too."""
        with self._lock:
            return [body for _, body, _ in self._records]

    def headers(self) -> list[dict[str, str]]:
        with self._lock:
            return [headers for _, _, headers in self._records]

    def conflicts(self) -> list[tuple[Any, dict[str, str]]]:
        """Value and headers of every record that tells of a conflict."""
        with self._lock:
            return list(self._conflicts)

    def raw(self) -> list[tuple[str, bytes]]:
        """(correlation id, the bytes of the value) of every record."""
        with self._lock:
            return list(self._raw)

    def times_ms(self) -> list[int]:
        """When Kafka got each record, as far as its topic is stamped by the broker."""
        with self._lock:
            return list(self._times_ms)

    def counts(self) -> Counter[str]:
        """How often each correlation id was answered."""
        with self._lock:
            return Counter(key for key, _, _ in self._records)

    def by_id(self) -> dict[str, dict[str, Any]]:
        """The first reply of each correlation id."""
        with self._lock:
            return {key: body for key, body, _ in reversed(self._records)}

    def wait_for(self, ids: set[str], timeout_s: float) -> dict[str, dict[str, Any]]:
        """Return the replies of `ids` once all are there."""

        def missing() -> bool:
            return ids <= self.by_id().keys()

        eventually(
            missing,
            timeout_s=timeout_s,
            message=f"{len(ids)} requests are to be answered",
        )
        return {key: body for key, body in self.by_id().items() if key in ids}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            for message in self._consumer.consume(500, timeout=0.1):
                if message.error():
                    continue
                headers = {k: v.decode() for k, v in message.headers() or []}
                key = (message.key() or b"").decode()
                with self._lock:
                    raw = message.value() or b""
                    if is_conflict(headers):
                        self._conflicts.append((self._decode(raw), headers))
                        continue
                    self._records.append((key, self._decode(raw), headers))
                    self._raw.append((key, raw))
                    self._times_ms.append(message.timestamp()[1])
