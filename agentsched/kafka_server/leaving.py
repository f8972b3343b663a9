"""Leave a consumer group so that librdkafka does not hang."""

import contextlib
import logging
import threading
import time

import confluent_kafka
from confluent_kafka import KafkaException

from agentsched.kafka_server.errors import said_by

SETTLE_S = 1.0
STEP_S = 0.02
CLOSE_S = 15.0
"""A coordinator that is connected and silent is waited for without end by librdkafka; one
that is down, for 10 s (measured)."""

log = logging.getLogger(__name__)


def leave(client: confluent_kafka.Consumer, properties: dict[str, object]) -> None:
    """Give all partitions back, leave the group, end the client; blocks for up to 15 s.

    Its callbacks run in another thread meanwhile. What hangs then ends with the process.
    """
    leaving = threading.Thread(
        target=_close, args=(client, properties), name="leave-group", daemon=True
    )
    leaving.start()
    leaving.join(CLOSE_S)
    if leaving.is_alive():
        log.warning(
            "the group was not left within %.0f s, because its coordinator is silent:"
            " others get the partitions after the session time-out",
            CLOSE_S,
        )


def _close(client: confluent_kafka.Consumer, properties: dict[str, object]) -> None:
    try:
        _settle(client, properties)
        _give_back(client)
        client.close()
    except KafkaException as error:
        log.warning("the group was not left in order: %s", said_by(error))


def _give_back(client: confluent_kafka.Consumer) -> None:
    """Let the callbacks of the last partitions run before the client ends.

    Inside `close()` librdkafka 2.16 can lose the answer to the unassignment that follows
    a callback (seen on a machine under load, with a silent coordinator), and Python's
    global lock is held while it is waited for: then no thread of the process goes on.
    """
    client.unsubscribe()
    while client.assignment():
        client.poll(STEP_S)


def _settle(client: confluent_kafka.Consumer, properties: dict[str, object]) -> None:
    """Wait up to 1 s for the first partitions; what is read here is dropped.

    librdkafka 2.16 hangs for ever in about one of 100 `close()` calls during the
    first join of a KIP-848 group (measured, with and without callbacks); not once in
    500 after the first assignment. Uncommitted records are read again by others.
    """
    if properties.get("group.protocol") != "consumer":
        return
    deadline = time.monotonic() + SETTLE_S
    with contextlib.suppress(KafkaException):
        while not client.assignment() and time.monotonic() < deadline:
            client.poll(STEP_S)
