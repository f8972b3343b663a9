"""The producer of agents and workers: one record in, one future of its place out.

It never decides what to send. Every record's future ends: with where the record is,
or with an error, after the delivery time-out at the latest.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Self

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from agentsched import forks
from agentsched.kafka.certificate import certificate_fault
from agentsched.kafka.errors import (
    KafkaFailed,
    LocalQueueFull,
    ProducerClosed,
    RecordNotDelivered,
    code_of,
    description_of,
    is_fatal,
)
from agentsched.kafka.librdkafka import agent_producer_properties
from agentsched.kafka.producer_input import (
    CheckedRecord,
    Headers,
    Key,
    Value,
    checked,
    checked_outbound,
)
from agentsched.wire.records import OutboundRecord, RecordAt

POLL_S = 0.1
QUEUE_WAIT_S = 5.0
"""How long `produce` blocks while the local queue is full."""
PURGE_S = 2.0
FORBIDDEN = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)
NO_TOPIC = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001  (its public name)
)

logger = logging.getLogger(__name__)


class Producer:
    """Writes records with an idempotent client; safe to use from several threads.

    The constructor opens nothing: client and poller thread start with the first
    record. A forked child may use an instance of its parent: it has a client of its own
    there, from the first record on. What was on its way at the fork is the parent's;
    those futures fail in the child. A child that ends with `os._exit` closes first.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str] = "localhost:9092",
        *,
        properties: Mapping[str, object] | None = None,
    ) -> None:
        """Keep where Kafka is.

        Args:
            bootstrap_servers: `host:port`, several with commas or as a sequence.
            properties: more librdkafka keys (see `librdkafka.producer_properties`).

        Raises:
            PropertiesRefused: one of them is no text, number or truth value.
        """
        self._properties = agent_producer_properties(bootstrap_servers, properties)
        self._closed = False
        self._begin()
        forks.in_child(self, Producer._begin_anew)

    def _begin(self) -> None:
        # Reentrant: a delivery callback may run inside a call that holds it.
        self._changed = threading.Condition(threading.RLock())
        self._client: confluent_kafka.Producer | None = None
        self._mark: object = None
        """Of the client that counts, and of no other."""
        self._set_aside: list[confluent_kafka.Producer] = []
        self._poller: threading.Thread | None = None
        self._take_back_exit: Callable[[], None] = _nothing
        self._broken = False
        self._under_way: set[Future[RecordAt]] = set()

    def _begin_anew(self) -> None:
        """In a forked child; see `agentsched.forks`."""
        self._take_back_exit()
        for handle in (self._client, *self._set_aside):
            if handle is not None:
                forks.leave(handle)
        under_way = self._under_way
        self._begin()
        forks.settle(under_way, _of_the_parent)

    def produce(
        self,
        value: Value,
        topic: str,
        headers: Headers | None = None,
        key: Key | None = None,
    ) -> "Future[RecordAt]":
        """Send one record; return with the future of its place.

        Blocks for up to 5 s while the local queue is full, and a moment at the first
        record.

        Args:
            value: a message, its fields, or bytes (text: UTF-8) as they are.
            topic: the topic.
            headers: names are text without zero bytes; values are text, bytes or None.
            key: default: the correlation id, from the headers or the value.

        The future fails with `RecordNotDelivered`, which is a `DeliveryFailed` and a
        KafkaException; cancelling it has no effect.

        Raises:
            RecordRefused: an argument is of another kind, or no UTF-8 (a ValueError).
            LocalQueueFull: after blocking for 5 s.
            ProducerClosed: after `close()`.
            KafkaFailed: the client refuses the record, for instance its size.

        All of them are KafkaExceptions, and say nothing of the content.
        """
        return self._enqueue(checked(value, topic, headers, key), QUEUE_WAIT_S)

    def send(
        self, record: OutboundRecord, *, wait_s: float = 0.0
    ) -> "Future[RecordAt]":
        """Send one record; raises nothing: every failure is the future's.

        Args:
            record: what to send, and where to.
            wait_s: how long to block while the local queue is full; 0: not at all.

        The future fails with `DeliveryFailed`, at once where the local queue stays full.
        """
        try:
            return self._enqueue(checked_outbound(record), wait_s)
        except KafkaFailed as error:
            failed: Future[RecordAt] = Future()
            failed.set_exception(_not_delivered(record.topic, error))
            return failed

    def reach(self, topic: str, timeout_s: float) -> None:
        """Ask Kafka about a topic, with the client that writes; blocks.

        Up to 6 s longer where Kafka has TLS and does not answer, to find out why.

        Raises:
            KafkaFailed: no answer within `timeout_s`.
        """
        try:
            with self._changed:
                client = self._open()
            client.list_topics(topic, timeout=timeout_s)
        except KafkaFailed:
            raise
        except KafkaException as error:
            why = certificate_fault(self._properties) or description_of(error)
            raise KafkaFailed(f"Kafka does not answer: {why}") from error
        except RuntimeError as error:
            raise KafkaFailed("Kafka does not answer: closed") from error

    def flush(self, timeout_s: float = 10.0) -> int:
        """Block until all is acknowledged or failed; return how many are still open."""
        with self._changed:
            client = self._client
        return self._flush(client, timeout_s)

    def close(self, timeout_s: float = 10.0) -> int:
        """Send what is queued, then end the poller; calling it again does nothing.

        Returns how many records were given up after `timeout_s`; their futures fail,
        and a warning says so.
        """
        with self._changed:
            if self._closed:
                return 0
            self._closed = True
            client, poller = self._client, self._poller
            self._changed.notify_all()
        left = self._flush(client, timeout_s)
        if left:
            logger.warning(
                "%d record(s) not acknowledged in %g s: gone", left, timeout_s
            )
        if left and client is not None:
            _give_up(client)
        if poller and poller is not threading.current_thread():
            poller.join()
        self._client = None  # with it go its threads
        self._take_back_exit()
        return left

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _enqueue(self, record: CheckedRecord, wait_s: float) -> "Future[RecordAt]":
        """Hand a record to the client; waits for so long while its queue is full."""
        future: Future[RecordAt] = Future()
        # Running futures cannot be cancelled, so the callback can always settle it.
        future.set_running_or_notify_cancel()

        def delivered(
            error: KafkaError | None, message: confluent_kafka.Message
        ) -> None:
            _settle(future, record.topic, error, message)
            with self._changed:
                self._under_way.discard(future)
                self._changed.notify_all()

        deadline = time.monotonic() + wait_s
        with self._changed:
            while True:
                client = self._open()
                try:
                    client.produce(
                        record.topic,
                        record.value,
                        record.key,
                        record.partition,
                        headers=record.headers,
                        on_delivery=delivered,
                    )
                except BufferError:
                    self._wait_for_room(deadline, wait_s)
                except KafkaException as error:
                    self._refused(record.topic, error)
                else:
                    self._under_way.add(future)
                    return future

    def _open(self) -> confluent_kafka.Producer:
        if self._closed:
            raise ProducerClosed("this producer is closed: make a new one")
        if self._broken:
            self._set_broken_client_aside()
        if self._client is None:
            self._client = self._connect()
        if self._poller is None:
            self._poller = threading.Thread(
                target=self._poll, name="agentsched-producer", daemon=True
            )
            self._poller.start()
            # Who forgets close() loses nothing at an orderly exit of the process.
            self._take_back_exit = forks.at_exit(self.close)
        return self._client

    def _connect(self) -> confluent_kafka.Producer:
        mark = self._mark = object()

        def on_error(error: KafkaError) -> None:
            # What is not fatal passes, and the client logs it by itself. One that was
            # set aside fails once more while it is given up.
            if error.fatal() and mark is self._mark:
                self._poll_failed(KafkaException(error))

        try:
            return confluent_kafka.Producer({**self._properties, "error_cb": on_error})
        except KafkaException as error:
            raise KafkaFailed(
                f"the Kafka client refused: {description_of(error)}"
            ) from error

    def _set_broken_client_aside(self) -> None:
        """The poller gives it up, because that takes up to 2 s: nobody waits for it."""
        logger.warning(
            "the Kafka client failed for good: the next record makes a new one"
        )
        if self._client is not None:
            self._set_aside.append(self._client)
        self._client, self._mark, self._broken = None, None, False

    def _poll(self) -> None:
        """Serve delivery reports until `close()`; its flush serves the last ones."""
        while True:
            with self._changed:
                if self._poller is not threading.current_thread():
                    return  # forked by a callback
                if self._broken:
                    self._set_broken_client_aside()
                given_up, self._set_aside = self._set_aside, []
                if self._client is None and not given_up and not self._closed:
                    self._changed.wait(POLL_S)
                client, ends = self._client, self._closed
            for old in given_up:
                _give_up(old)
            if ends:
                return
            if client:
                try:
                    client.poll(POLL_S)
                except KafkaException as error:
                    self._poll_failed(error)

    def _flush(self, client: confluent_kafka.Producer | None, timeout_s: float) -> int:
        """Wait for what is under way, also in clients that failed and are given up."""
        deadline = time.monotonic() + timeout_s
        try:
            if client is not None:
                client.flush(timeout_s)
        except KafkaException as error:
            self._poll_failed(error)
        with self._changed:
            left_s = max(0.0, deadline - time.monotonic())
            self._changed.wait_for(lambda: not self._under_way, left_s)
            return len(self._under_way)

    def _poll_failed(self, error: KafkaException) -> None:
        """A fatal error surfaces in whichever call serves the client's events."""
        logger.warning("Kafka: %s", description_of(error))
        with self._changed:
            self._broken = self._broken or is_fatal(error)

    def _wait_for_room(self, deadline: float, wait_s: float) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            stays = f"stayed full for {wait_s:g} s" if wait_s else "is full"
            raise LocalQueueFull(
                f"the local queue {stays}: Kafka is slow or not reachable;"
                " produce less at once or wait for the futures"
            )
        self._changed.wait(min(left_s, POLL_S))

    def _refused(self, topic: str, error: KafkaException) -> None:
        """Raise, unless the client is broken for good: then a new one may take it."""
        if is_fatal(error) and not self._broken:
            self._broken = True
            return
        raise KafkaFailed(
            f"no record for {topic!r}: {description_of(error)}"
        ) from error


def _of_the_parent() -> RecordNotDelivered:
    return RecordNotDelivered(
        "no acknowledgement comes here: the record was sent before this process was"
        " forked, and only the parent is told"
    )


def _nothing() -> None:
    """There is nothing to take back."""


def _give_up(client: confluent_kafka.Producer) -> None:
    """Fail what the client still holds; the callbacks run in here."""
    client.purge()
    deadline = time.monotonic() + PURGE_S
    while len(client) and time.monotonic() < deadline:
        # What made the client fail surfaces here once more.
        with contextlib.suppress(KafkaException):
            client.flush(PURGE_S)


def _settle(
    future: "Future[RecordAt]",
    topic: str,
    error: KafkaError | None,
    message: confluent_kafka.Message,
) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(_not_delivered(topic, KafkaException(error)))
        return
    future.set_result(
        RecordAt(topic, message.partition() or 0, _offset(message.offset()))
    )


def _offset(offset: int | None) -> int:
    return -1 if offset is None else offset


def _not_delivered(topic: str, error: KafkaException) -> RecordNotDelivered:
    failed = RecordNotDelivered(
        f"no acknowledgement for a record on {topic!r}: {description_of(error)}"
    )
    failed.forbidden = code_of(error) in FORBIDDEN
    failed.too_large = code_of(error) == KafkaError.MSG_SIZE_TOO_LARGE
    failed.no_topic = code_of(error) in NO_TOPIC
    return failed
