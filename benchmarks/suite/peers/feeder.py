"""Moves requests from Kafka to a task queue; peers without Kafka need one.

Records are committed after they were handed over. What a batch holds goes on in the
order high, medium, low.
"""

from collections.abc import Callable

import orjson
from confluent_kafka import Consumer

from benchmarks.suite.peers import wire

BATCH = 500
POLL_S = 1.0


def feed(enqueue: Callable[[str, dict], None]) -> None:
    """Hand over each request with its class; never returns."""
    consumer = Consumer(
        {
            "bootstrap.servers": wire.BOOTSTRAP,
            "group.id": wire.GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,
        }
    )
    consumer.subscribe(wire.TOPICS)
    while True:
        first = consumer.poll(POLL_S)
        batch = [first] if first else []
        while batch and len(batch) < BATCH and (more := consumer.poll(0)):
            batch.append(more)
        good = [message for message in batch if not message.error()]
        good.sort(key=lambda message: wire.TOPICS.index(message.topic()))
        for message in good:
            cls = wire.CLASSES[wire.TOPICS.index(message.topic())]
            enqueue(cls, orjson.loads(message.value()))
        for message in good:
            consumer.store_offsets(message)
