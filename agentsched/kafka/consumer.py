"""The consumer of agents: replies (or requests), one by one, each handed out once.

It keeps its place in its consumer group and decides nothing about what it reads; a
conflict record (`agentsched.wire.conflicts`) is no message, and is passed over.
"""

import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Literal

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from agentsched import forks
from agentsched.errors import CodecError
from agentsched.kafka.errors import (
    ConsumerClosed,
    KafkaFailed,
    PropertiesRefused,
    description_of,
)
from agentsched.kafka.group.departure import leave
from agentsched.kafka.librdkafka import agent_consumer_properties, is_cooperative
from agentsched.kafka.message import text_headers
from agentsched.kafka.offsets import bounds, committed_offsets, insist, partition_of
from agentsched.kafka.producer_input import as_topic
from agentsched.kafka.seen_replies import SeenReplies
from agentsched.types import Message
from agentsched.wire.codec import decode_message
from agentsched.wire.conflicts import is_conflict
from agentsched.wire.records import Partition

SLICE_S = 0.1
"""`close()` from another thread waits for at most one such poll."""
SUBSCRIBE_S = 10.0
RESETS = ("latest", "earliest")

_NOT_THERE_YET = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001  (its public name)
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    }
)
_PASSES = frozenset(
    {
        *_NOT_THERE_YET,
        KafkaError._PARTITION_EOF,  # noqa: SLF001
        KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001  (the client joins again)
    }
)

_PATTERN = re.compile(r"\^[^\0\ud800-\udfff]*")
"""A regular expression for names of topics, as librdkafka takes it."""

logger = logging.getLogger(__name__)


class Consumer:
    """Reads messages as a member of a consumer group.

    The position moves on when the next message is asked for, or at `close()`; after a
    crash the last message may come again. A second reply to the same request is
    dropped. `consume` is for one thread; `close` may be called from any.

    A forked child may use an instance of its parent: its first `consume` joins the group
    as another member, for the same topics.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        group_id: str,
        auto_offset_reset: Literal["latest", "earliest"] = "latest",
        *,
        properties: Mapping[str, object] | None = None,
    ) -> None:
        """Keep where Kafka is; nothing is opened before `subscribe`.

        Args:
            bootstrap_servers: `host:port`, several with commas or as a sequence.
            group_id: consumers of one group share the messages.
            auto_offset_reset: where a group that has no position starts: `latest` is
                what arrives from `subscribe()` on, `earliest` all that Kafka keeps.
            properties: more librdkafka keys.

        Raises:
            PropertiesRefused: one of these is not as said (a ValueError).
        """
        if auto_offset_reset not in RESETS:
            raise PropertiesRefused("auto_offset_reset must be 'latest' or 'earliest'")
        self._properties = agent_consumer_properties(
            bootstrap_servers, group_id, properties
        )
        self._from_now_on = auto_offset_reset == "latest"
        self._starts: dict[Partition, int] = {}
        self._topics: list[str] = []
        self._seen = SeenReplies()
        self._warned: set[str] = set()
        self._begin()
        forks.in_child(self, Consumer._begin_anew)

    def _begin(self) -> None:
        self._client: confluent_kafka.Consumer | None = None
        self._handed_out: TopicPartition | None = None
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._leaving = threading.RLock()

    def _begin_anew(self) -> None:
        """In a forked child; see `agentsched.forks`."""
        if self._client is not None:
            forks.leave(self._client)
        was_closed = self._closing.is_set()
        self._begin()
        if was_closed:
            self._closing.set()

    def subscribe(self, topics: str | Sequence[str]) -> None:
        """Join the group for these topics; a topic may be created later.

        With `latest` it blocks until Kafka said where the topics end now (up to
        10 s), so that a reply to whatever is sent after this call is not missed.

        Args:
            topics: names, or patterns that begin with `^`.

        Raises:
            KafkaFailed: Kafka cannot be reached.
            RecordRefused: no topic can have such a name (a ValueError).
        """
        names = _names([topics] if isinstance(topics, str) else topics)
        with self._lock:
            self._end_if_closed()
            try:
                client = self._opened()
                if self._from_now_on:
                    self._remember_ends(client, names)
                client.subscribe(names, on_assign=self._on_assign)
            except KafkaException as error:
                raise self._failed("cannot subscribe", error) from error
            self._topics = names

    def _opened(self) -> confluent_kafka.Consumer:
        if self._client is None:
            self._client = confluent_kafka.Consumer(self._properties)
        return self._client

    def consume(self, timeout: float = 1.0) -> Message | None:
        """Return the next message (a `Reply` where it has a status), or None.

        Blocks for up to `timeout` seconds. A record that is no message is skipped
        with a warning. So is one that says that a request was refused because its
        identity has another payload (header `kind: conflict`), without one: whom it
        concerns is known to `AgentClient`.

        Raises:
            KafkaFailed: not subscribed, not allowed, or the client is broken; it is
                a `confluent_kafka.KafkaException`.
            ConsumerClosed: after `close()`, in the main thread.
            SystemExit: after `close()`, in another thread: it ends that thread.
        """
        deadline = time.monotonic() + timeout
        while True:
            with self._lock:
                self._end_if_closed()
                left_s = max(0.0, deadline - time.monotonic())
                message = self._next(min(left_s, SLICE_S))
            if message is not None or time.monotonic() >= deadline:
                return message

    def close(self) -> None:
        """Commit the position, leave the group; a running `consume` ends at once.

        Blocks for a round trip, and for up to 15 s where Kafka does not answer. Calling
        it again waits for a call that is running, and else does nothing.
        """
        self._closing.set()
        with self._leaving:
            with self._lock:
                client, self._client = self._client, None
                if client is not None:
                    self._move_on(client)
            if client is not None:
                leave(client, self._properties)

    def _next(self, timeout_s: float) -> Message | None:
        client = self._client or self._joined_again()
        self._move_on(client)
        try:
            record = client.poll(timeout_s)
        except KafkaException as error:
            raise self._failed("cannot read", error) from error
        if record is None or self._closing.is_set():
            # Read while closing it comes again: partitions are not placed any more.
            return None
        if (problem := record.error()) is not None:
            self._judge(problem)
            return None
        offset = record.offset()
        self._handed_out = TopicPartition(
            record.topic() or "", record.partition() or 0, (offset or 0) + 1
        )
        return self._decode(record)

    def _joined_again(self) -> confluent_kafka.Consumer:
        """Go on in a forked child with what the parent subscribed to, and from where."""
        if not self._topics:
            raise KafkaFailed("this consumer reads nothing yet: call subscribe() first")
        try:
            client = self._opened()
            client.subscribe(self._topics, on_assign=self._on_assign)
        except KafkaException as error:
            raise self._failed("cannot subscribe", error) from error
        return client

    def _decode(self, record: confluent_kafka.Message) -> Message | None:
        if is_conflict(text_headers(record) or {}):
            return None
        where = f"{record.topic()}[{record.partition()}]@{record.offset()}"
        try:
            message = decode_message(record.value() or b"")
        except CodecError as error:
            logger.warning("skipped %s, which is no message: %s", where, error.detail)
            return None
        if self._seen.is_first(message):
            return message
        logger.info("skipped %s: that request's reply was here before", where)
        return None

    def _move_on(self, client: confluent_kafka.Consumer) -> None:
        """The last message is done with: the next automatic commit includes it."""
        handed_out, self._handed_out = self._handed_out, None
        if handed_out is not None:
            _store(client, [handed_out])

    def _judge(self, error: KafkaError) -> None:
        if error.code() not in _PASSES:
            raise self._failed("cannot read", KafkaException(error))
        text = error.str()
        if error.code() in _NOT_THERE_YET and text not in self._warned:
            self._warned.add(text)
            logger.warning("waiting for a topic to be created: %s", text)

    def _remember_ends(
        self, client: confluent_kafka.Consumer, topics: Sequence[str]
    ) -> None:
        there = client.list_topics(timeout=SUBSCRIBE_S).topics
        partitions = [
            Partition(name, number)
            for name in topics
            if name in there
            for number in there[name].partitions
        ]
        ends = insist(lambda: bounds(client, partitions), "end offsets", SUBSCRIBE_S)
        # A topic that was subscribed before keeps its start.
        self._starts = {each: held.end for each, held in ends.items()} | self._starts

    def _on_assign(
        self, client: confluent_kafka.Consumer, assigned: list[TopicPartition]
    ) -> None:
        if self._closing.is_set():
            # While the client ends it may hang in every question. Not placed by us, the
            # partitions are given back with nothing read.
            return
        partitions = [partition_of(each) for each in assigned]
        committed = insist(
            lambda: committed_offsets(client, partitions), "positions", SUBSCRIBE_S
        )
        placed = [
            TopicPartition(*each, self._start(each, committed[each]))
            for each in partitions
        ]
        if is_cooperative(self._properties):
            client.incremental_assign(placed)
        else:
            client.assign(placed)
        # Committed at once, so that a member which takes over starts here, too.
        _store(client, [each for each in placed if each.offset >= 0])

    def _start(self, partition: Partition, committed: int | None) -> int:
        if committed is not None:
            return committed
        # Not there when we subscribed: all that it holds came after that.
        return self._starts.get(partition, OFFSET_BEGINNING)

    def _end_if_closed(self) -> None:
        if not self._closing.is_set():
            return
        text = "this consumer is closed: make a new one"
        if threading.current_thread() is threading.main_thread():
            raise ConsumerClosed(text)
        # Exactly SystemExit: `threading` prints a traceback for a class derived from it.
        raise SystemExit(text)

    def _failed(self, what: str, error: KafkaException) -> KafkaFailed:
        servers = self._properties["bootstrap.servers"]
        return KafkaFailed(f"{what}: {description_of(error)} (Kafka at {servers})")


def _names(topics: Sequence[object]) -> list[str]:
    return [
        each if isinstance(each, str) and _PATTERN.fullmatch(each) else as_topic(each)
        for each in topics
    ]


def _store(client: confluent_kafka.Consumer, offsets: list[TopicPartition]) -> None:
    try:
        client.store_offsets(offsets=offsets)
    except KafkaException as error:
        # Another member has the partition now: it may hand the message out again.
        logger.info("a position was not kept: %s", description_of(error))
