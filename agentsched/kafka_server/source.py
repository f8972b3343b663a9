"""What the bridge reads requests with: a group member that commits on demand only.

It decides neither what is committed nor what is paused; it tells who owns which
partition and keeps commits to those.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from agentsched.config.settings import KafkaSettings
from agentsched.kafka_records import InboundRecord, Partition
from agentsched.kafka_server.errors import KafkaFailed, said_by
from agentsched.kafka_server.leaving import settle
from agentsched.kafka_server.librdkafka import (
    admin_properties,
    request_source_properties,
)
from agentsched.kafka_server.librdkafka import (
    log as librdkafka_log,
)
from agentsched.kafka_server.positions import (
    bounds,
    committed_offsets,
    insist,
    partition_of,
)
from agentsched.kafka_server.received import inbound
from agentsched.kafka_server.topic_ids import topic_ids

LOOK_UP_S = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AssignedPartition:
    """A partition that this member owns from now on."""

    partition: Partition
    topic_id: str
    """Another one when the topic was deleted and made again, or the broker is another."""
    committed: int | None
    """What the group has committed; None: nothing yet."""
    low: int
    """The oldest offset that Kafka keeps; above `committed`: records were lost."""
    end: int
    """The offset of the next record to be appended."""

    @property
    def start(self) -> int:
        """The offset from which records are read."""
        if self.committed is None or self.committed > self.end:
            return self.low  # nothing yet, or of a topic that was another one
        return max(self.low, self.committed)


class RequestSource:
    """Reads input topics as a member of the bridge's consumer group.

    All methods are for one thread; the callbacks run in it, inside `poll` and `close`.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        on_assigned: Callable[[Sequence[AssignedPartition]], None],
        on_revoked: Callable[[Sequence[Partition]], Mapping[Partition, int]],
        on_lost: Callable[[Sequence[Partition]], None],
        on_committed: Callable[[Mapping[Partition, int]], None] | None = None,
    ) -> None:
        """Keep the callbacks; nothing is opened before `subscribe`.

        Args:
            settings: where Kafka is, and the group.
            on_assigned: partitions that came; their records follow.
            on_revoked: partitions that go; returns the offsets to commit before. The
                next owner starts there.
            on_lost: partitions that are another member's already; nothing can be
                committed for them.
            on_committed: offsets that Kafka acknowledged after `commit`, of partitions
                still owned.
        """
        self._settings = settings
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._on_lost = on_lost
        self._on_committed = on_committed
        self._client: confluent_kafka.Consumer | None = None
        self._owned: set[Partition] = set()
        self._read: list[InboundRecord] = []
        self._missed: set[str] = set()
        self._joined = False

    @property
    def joined(self) -> bool:
        """Whether the group has given this member its partitions, maybe none.

        KIP-848 groups tell nothing to a member that gets none: there it is a member as
        soon as it has subscribed.
        """
        if self._client is None:
            return False
        return self._joined or self._settings.group_protocol == "consumer"

    @property
    def owned(self) -> frozenset[Partition]:
        """The partitions that this member owns now."""
        return frozenset(self._owned)

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group; partitions come with one of the next `poll`s.

        Raises:
            KafkaFailed: a key in `kafka.properties` is wrong.
        """
        properties = request_source_properties(self._settings)
        try:
            self._client = confluent_kafka.Consumer(
                {**properties, "on_commit": self._on_commit_answer}
            )
            self._client.subscribe(
                list(topics),
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_loss,
            )
        except KafkaException as error:
            raise KafkaFailed(f"cannot read requests: {said_by(error)}") from error

    def poll(self, max_records: int, timeout_s: float) -> list[InboundRecord]:
        """Return what is there, waiting up to `timeout_s` for the first record.

        Transient errors are logged. A record of a partition that was revoked in the
        same call is not returned.

        Raises:
            KafkaFailed: the client is broken for good: end the process.
        """
        client = self._open_client()
        self._read = []
        wait_s = timeout_s
        try:
            while len(self._read) < max_records:
                # One by one: consume() would wait the whole time for a full batch.
                message = client.poll(wait_s)
                if message is None:
                    break
                wait_s = 0
                if error := message.error():
                    self._judge(error)
                else:
                    self._read.append(inbound(message))
        except KafkaException as error:
            raise KafkaFailed(f"cannot read requests: {said_by(error)}") from error
        return self._read

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit, without waiting, for partitions that are owned now; others are left out.

        `on_committed` hears of it in a later `poll`. A commit that fails is logged:
        commit a later offset, or the same again.
        """
        wanted = self._addressed(offsets)
        if not wanted:
            return
        try:
            self._open_client().commit(offsets=wanted, asynchronous=True)
        except KafkaException as error:
            log.warning("a commit was not sent: %s", said_by(error))

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Read no more of these (drops what was read ahead); only those owned now."""
        if owned := self._addressed(dict.fromkeys(partitions, 0)):
            self._open_client().pause(owned)

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Read these again from where `poll` stopped; only those owned now."""
        if owned := self._addressed(dict.fromkeys(partitions, 0)):
            self._open_client().resume(owned)

    def close(self) -> None:
        """Revoke all (commits what `on_revoked` returns), leave the group; idempotent."""
        client, self._client = self._client, None
        if client is None:
            return
        settle(client, request_source_properties(self._settings))
        try:
            client.close()
        except KafkaException as error:
            log.warning("the group was not left in order: %s", said_by(error))
        if self._owned:
            # Not told to go before the client ended: nobody may commit them any more.
            self._on_loss(client, [TopicPartition(*each) for each in self._owned])

    # -- callbacks of the client: inside poll() and close() -----------------------

    def _on_assign(
        self, client: confluent_kafka.Consumer, assigned: list[TopicPartition]
    ) -> None:
        if self._client is None:
            # Inside close(): the client may hang in every question, and the partitions
            # are given back with nothing read.
            return
        partitions = [partition_of(each) for each in assigned]
        found = insist(
            lambda: self._look_up(client, partitions), "new partitions", LOOK_UP_S
        )
        client.incremental_assign(
            [TopicPartition(*each.partition, each.start) for each in found]
        )
        self._owned.update(partitions)
        self._joined = True
        if found:
            self._on_assigned(found)

    def _on_revoke(
        self, client: confluent_kafka.Consumer, revoked: list[TopicPartition]
    ) -> None:
        # Those that came during close() were never told of.
        partitions = [
            each for each in map(partition_of, revoked) if each in self._owned
        ]
        if not partitions:
            return
        self._forget_read(partitions)
        offsets = self._addressed(self._on_revoked(partitions))
        if offsets:
            _commit_and_wait(client, offsets)
        self._owned.difference_update(partitions)

    def _on_loss(
        self, _client: confluent_kafka.Consumer, lost: list[TopicPartition]
    ) -> None:
        partitions = [each for each in map(partition_of, lost) if each in self._owned]
        if not partitions:
            return
        self._joined = False
        self._forget_read(partitions)
        self._owned.difference_update(partitions)
        self._on_lost(partitions)

    def _on_commit_answer(
        self, error: KafkaError | None, offsets: list[TopicPartition]
    ) -> None:
        if error is not None:
            log.warning("a commit failed: %s", error.str())
            return
        done = {
            partition_of(each): each.offset
            for each in offsets
            if not each.error and each.offset >= 0 and partition_of(each) in self._owned
        }
        if done and self._on_committed:
            self._on_committed(done)

    # -- within -------------------------------------------------------------------

    def _look_up(
        self, client: confluent_kafka.Consumer, partitions: list[Partition]
    ) -> list[AssignedPartition]:
        if not partitions:
            return []
        committed = committed_offsets(client, partitions)
        held = bounds(client, partitions)
        admin = AdminClient(admin_properties(self._settings), logger=librdkafka_log)
        ids = topic_ids(admin, {each.topic for each in partitions})
        return [
            AssignedPartition(each, ids[each.topic], committed[each], *held[each])
            for each in partitions
        ]

    def _judge(self, error: KafkaError) -> None:
        if error.fatal():
            raise KafkaFailed(f"the Kafka client failed for good: {error.str()}")
        text = error.str()
        if text not in self._missed:  # the same again says nothing new
            self._missed.add(text)
            log.warning("Kafka: %s", text)

    def _forget_read(self, partitions: Sequence[Partition]) -> None:
        """The next owner reads them again; in place, poll() returns this list."""
        gone = set(partitions)
        self._read[:] = [
            record
            for record in self._read
            if (record.topic, record.partition) not in gone
        ]

    def _addressed(self, offsets: Mapping[Partition, int]) -> list[TopicPartition]:
        return [
            TopicPartition(*partition, offset)
            for partition, offset in offsets.items()
            if partition in self._owned
        ]

    def _open_client(self) -> confluent_kafka.Consumer:
        if self._client is None:
            raise KafkaFailed("this source is not open: call subscribe() first")
        return self._client


def _commit_and_wait(
    client: confluent_kafka.Consumer, offsets: list[TopicPartition]
) -> None:
    """Commit before the next owner asks; a failure only makes it read more again."""
    try:
        answers = client.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        log.warning("the commit at a revocation failed: %s", said_by(error))
        return
    for answer in answers:
        if answer.error:
            log.warning(
                "the commit of %s[%d] failed: %s",
                answer.topic,
                answer.partition,
                answer.error.str(),
            )
