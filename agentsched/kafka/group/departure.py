"""Leave a consumer group so that librdkafka does not hang."""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator

import confluent_kafka
from confluent_kafka import KafkaException

from agentsched.kafka.errors import description_of

SETTLE_S = 1.0
DRAIN_S = 1.0
"""More than the records that are read ahead take (16 MB at most)."""
STEP_S = 0.02
CLOSE_S = 15.0
"""A coordinator that is connected and silent is waited for without end by librdkafka; one
that is down, for 10 s (measured)."""

logger = logging.getLogger(__name__)


def leave(client: confluent_kafka.Consumer, properties: dict[str, object]) -> None:
    """Give all partitions back, leave the group, end the client; blocks for up to 15 s.

    Its callbacks run in another thread meanwhile. What hangs then ends with the process.
    While Python ends, no thread starts: then it blocks for as long as it takes.
    """
    leaving = threading.Thread(
        target=_close, args=(client, properties), name="leave-group", daemon=True
    )
    if not _starts(leaving):
        _close(client, properties)
        return
    leaving.join(CLOSE_S)
    if leaving.is_alive():
        logger.warning(
            "the group was not left within %.0f s, because its coordinator is silent:"
            " others get the partitions after the session time-out",
            CLOSE_S,
        )


def _starts(thread: threading.Thread) -> bool:
    if sys.is_finalizing():  # Python 3.11 would wait in start() for ever
        return False
    try:
        thread.start()
    except RuntimeError:  # Python 3.12, also in what `atexit` calls
        return False
    return True


def _close(client: confluent_kafka.Consumer, properties: dict[str, object]) -> None:
    try:
        with _failure_logged():
            _settle(client, properties)
        with _failure_logged():
            _drain(client)
    finally:
        with _failure_logged():
            client.close()


@contextlib.contextmanager
def _failure_logged() -> Iterator[None]:
    """The client has to end, whatever Kafka says to one of the steps."""
    try:
        yield
    except KafkaException as error:
        logger.warning("the group was not left in order: %s", description_of(error))


def _drain(client: confluent_kafka.Consumer) -> None:
    """Let the callbacks run that wait for a poll; what is read here is dropped.

    With an assignment and a revocation both inside `close()`, librdkafka 2.16 may end the
    group after the first, and never answer what confluent-kafka asks it after the second.
    Python's global lock is held during that question: the whole process stands still (one
    in some 30 such `close()` calls, measured). The revocation alone does no harm.
    """
    deadline = time.monotonic() + DRAIN_S
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
    while not client.assignment() and time.monotonic() < deadline:
        client.poll(STEP_S)
