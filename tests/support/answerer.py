"""Stands where the whole system would: answers what is on the input topics, as told."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Self

from agentsched.kafka.producer import Producer
from agentsched.kafka.readers.topic_tail import EVERYTHING_MS, TopicTail
from agentsched.types import Message, Reply
from agentsched.wire.codec import (
    Identity,
    decode_cancel,
    decode_request,
    encode_message,
    is_cancel,
)
from agentsched.wire.records import InboundRecord, OutboundRecord
from agentsched.wire.replies import reply_to

Script = Callable[[Message], Sequence[Reply]]


def completed(request: Message, content: Any = None, **fields: Any) -> Reply:
    """The answer to a request; plain: its own prompt."""
    identity = Identity(str(request.agent_id), str(request.correlation_id))
    answer = {"status": "completed", "content": content or request.content}
    return reply_to(request, identity, **(answer | fields))


def record_of(reply: Reply, topic: str, payload_hash: str = "") -> OutboundRecord:
    """As workers publish it; without a hash as those of older versions did."""
    headers = {
        "correlation_id": str(reply.correlation_id),
        "agent_id": str(reply.agent_id),
    }
    if payload_hash:
        headers["payload_hash"] = payload_hash
    value = encode_message(reply)
    return OutboundRecord(topic, value, reply.correlation_id, headers)


class Answerer:
    """Answers on a thread of its own; a context manager.

    Args:
        bootstrap: where Kafka is.
        topics: the input topics.
        reply_topic: where to.
        script: the replies to a request; default: one, its own prompt.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Sequence[str],
        reply_topic: str,
        script: Script = lambda request: [completed(request)],
    ) -> None:
        self._reader = TopicTail(
            bootstrap, topics, since_ms=EVERYTHING_MS, fetch_wait_ms=10
        )
        self._producer = Producer(bootstrap)
        self._reply_topic = reply_topic
        self._script = script
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="answerer")
        self.requests: list[tuple[InboundRecord, Message]] = []
        self.cancelled: list[Identity] = []

    def send(self, reply: Reply, payload_hash: str = "") -> None:
        """Put a reply on the topic; blocks until Kafka has it."""
        record = record_of(reply, self._reply_topic, payload_hash)
        self._producer.send(record).result(20)

    def put(self, record: OutboundRecord) -> None:
        """Put any record on the topic; blocks until Kafka has it."""
        self._producer.send(replace(record, topic=self._reply_topic)).result(20)

    def __enter__(self) -> Self:
        self._reader.open(20)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._reader.close()
        self._producer.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            for record in self._reader.poll(0.1):
                if is_cancel(record):
                    self.cancelled.append(decode_cancel(record, 10_000_000))
                    continue
                request, _ = decode_request(record, 10_000_000)
                self.requests.append((record, request))
                for reply in self._script(request):
                    self._producer.send(record_of(reply, self._reply_topic))
