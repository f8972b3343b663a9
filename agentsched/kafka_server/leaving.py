"""Leave a consumer group so that librdkafka does not hang."""

import contextlib
import logging
import sys
import threading
import time

import confluent_kafka
from confluent_kafka import KafkaException

from agentsched.kafka_server.errors import said_by

SETTLE_S = 1.0
DRAIN_S = 1.0
"""More than the records that are read ahead take (16 MB at most)."""
STEP_S = 0.02
CLOSE_S = 15.0
"""A coordinator that is connected and silent is waited for without end by librdkafka; one
that is down, for 10 s (measured)."""

log = logging.getLogger(__name__)


def leave(client: confluent_kafka.Consumer, properties: dict[str, object]) -> None:
    """Give all partitions back, leave the group, end the client; blocks for up to 15 s.

    Its callbacks run in another thread meanwhile. What hangs then ends with the process.
    """
    if sys.is_finalizing():  # no thread starts any more
        _close(client, properties)
        return
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
        _drain(client)
    finally:
        try:
            client.close()
        except KafkaException as error:
            log.warning("the group was not left in order: %s", said_by(error))


def _drain(client: confluent_kafka.Consumer) -> None:
    """Let the callbacks run that wait for a poll; what is read here is dropped.

    With an assignment and a revocation both inside `close()`, librdkafka 2.16 may end the
    group after the first, and never answer what confluent-kafka asks it after the second.
    Python's global lock is held during that question: the whole process stands still (one
    in some 30 such `close()` calls, measured). The revocation alone does no harm.
    """
    deadline = time.monotonic() + DRAIN_S
    with contextlib.suppress(KafkaException):
        while client.poll(0) is not None and time.monotonic() < deadline:
            pass


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
