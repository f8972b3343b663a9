"""Publishes a reply from a thread and waits until Kafka has it; for sync peers."""

import functools
import os
import threading

from confluent_kafka import KafkaError, Producer

from benchmarks.suite.peers import wire

DELIVERY_S = 30.0


class Replies:
    """One producer for a process; any thread may publish."""

    def __init__(self) -> None:
        self._producer = Producer({"bootstrap.servers": wire.BOOTSTRAP, "linger.ms": 0})
        threading.Thread(target=self._poll, daemon=True).start()

    def publish(self, request: dict, value: bytes) -> None:
        """Block until it is acknowledged."""
        done = threading.Event()
        errors: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: object) -> None:
            if error:
                errors.append(error)
            done.set()

        self._producer.produce(
            wire.OUTPUT,
            value,
            request["correlation_id"],
            headers=wire.headers(request),
            on_delivery=delivered,
        )
        if not done.wait(DELIVERY_S) or errors:
            raise RuntimeError(f"Kafka did not take a reply: {errors}")

    def _poll(self) -> None:
        while True:
            self._producer.poll(1)


@functools.cache
def _of_process(_pid: int) -> Replies:
    return Replies()


def publish(request: dict, value: bytes) -> None:
    """Publish with this process's producer, which is opened late: pools fork."""
    _of_process(os.getpid()).publish(request, value)
