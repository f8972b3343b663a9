"""What the bridge reads requests with: a group member that commits on demand only.

It decides neither what is committed nor what is paused; it tells who owns which
partition and keeps commits to those.
"""

import logging
import time
from collections.abc import Mapping, Sequence

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.errors import KafkaFailed, description_of
from agentsched.kafka.group.assignment import PartitionOwner, look_up
from agentsched.kafka.group.commits import (
    OneCommitAtATime,
    acknowledged,
    commit_and_wait,
    with_too_long_metadata,
)
from agentsched.kafka.group.departure import leave
from agentsched.kafka.librdkafka import request_source_properties
from agentsched.kafka.message import inbound
from agentsched.kafka.offsets import bounds, insist, partition_of
from agentsched.wire.records import InboundRecord, Mark, Partition

LOOK_UP_S = 30.0
RESENT_S = 1.2
"""retry.backoff.max.ms and its jitter: then librdkafka has sent a commit again."""

logger = logging.getLogger(__name__)


class RequestSource:
    """Reads input topics as a member of the bridge's consumer group.

    All methods are for one thread; the callbacks run in it, inside `poll` and `close`.
    """

    def __init__(self, settings: KafkaSettings, owner: PartitionOwner) -> None:
        """Keep where Kafka is; nothing is opened before `subscribe`."""
        self._settings = settings
        self._owner = owner
        self._client: confluent_kafka.Consumer | None = None
        self._owned: set[Partition] = set()
        self._read: list[InboundRecord] = []
        self._commits = OneCommitAtATime()
        self._going: set[Partition] = set()
        self._warned: set[str] = set()
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
            raise KafkaFailed(
                f"cannot read requests: {description_of(error)}"
            ) from error

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
                    self._judge(client, message, error)
                else:
                    self._read.append(inbound(message))
        except KafkaException as error:
            raise KafkaFailed(
                f"cannot read requests: {description_of(error)}"
            ) from error
        self._send_commits()
        return self._read

    def commit(self, marks: Mapping[Partition, Mark]) -> None:
        """Commit, without waiting, for partitions that are owned now; others are left out.

        While Kafka has not answered the last commit, these wait for a later `poll`, and
        the next marks replace them. `on_committed` hears of it in a later `poll`. A
        commit that fails is logged: commit a later offset, or the same again.
        """
        kept = self._owned - self._going
        self._commits.add({each: mark for each, mark in marks.items() if each in kept})
        self._send_commits()

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Read no more of these (drops what was read ahead); only those owned now."""
        if owned := self._addressed(dict.fromkeys(partitions, Mark(0))):
            self._open_client().pause(owned)

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Read these again from where `poll` stopped; only those owned now."""
        if owned := self._addressed(dict.fromkeys(partitions, Mark(0))):
            self._open_client().resume(owned)

    def close(self) -> None:
        """Revoke all (commits what `on_revoked` returns), leave the group; idempotent.

        Blocks for up to 15 s. The callbacks run in another thread meanwhile.
        """
        client, self._client = self._client, None
        if client is None:
            return
        leave(client, request_source_properties(self._settings))
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
            lambda: look_up(client, self._settings, partitions),
            "new partitions",
            LOOK_UP_S,
        )
        client.incremental_assign(
            [TopicPartition(*each.partition, each.start) for each in found]
        )
        self._owned.update(partitions)
        self._joined = True
        if found:
            self._owner.on_assigned(found)

    def _on_revoke(
        self, client: confluent_kafka.Consumer, revoked: list[TopicPartition]
    ) -> None:
        # Those that came during close() were never told of.
        partitions = [
            each for each in map(partition_of, revoked) if each in self._owned
        ]
        if not partitions:
            return
        self._going = set(partitions)
        marks = self._addressed(self._owner.on_revoked(partitions))
        if marks:
            commit_and_wait(client, marks)
            if self._commits.on_their_way(partitions):
                # Sent again after a pause, that one would be the last.
                time.sleep(RESENT_S)
                commit_and_wait(client, marks)
        self._forget(partitions)
        self._owned.difference_update(partitions)
        self._going = set()

    def _on_loss(
        self, _client: confluent_kafka.Consumer, lost: list[TopicPartition]
    ) -> None:
        partitions = [each for each in map(partition_of, lost) if each in self._owned]
        if not partitions:
            return
        self._joined = False
        self._forget(partitions)
        self._owned.difference_update(partitions)
        self._owner.on_lost(partitions)

    def _on_commit_answer(
        self, error: KafkaError | None, offsets: list[TopicPartition]
    ) -> None:
        self._commits.answered(map(partition_of, offsets))
        for partition in with_too_long_metadata(offsets):
            if partition in self._owned:
                self._owner.on_commit_refused(partition)
        done = {
            partition: offset
            for partition, offset in acknowledged(error, offsets).items()
            if partition in self._owned
        }
        if done:
            self._owner.on_committed(done)

    # -- within -------------------------------------------------------------------

    def _send_commits(self) -> None:
        marks = self._commits.take() if self._client else {}
        for partition, mark in marks.items():
            try:
                self._open_client().commit(
                    offsets=[TopicPartition(*partition, *mark)], asynchronous=True
                )
            except KafkaException as error:
                self._commits.answered([partition])
                logger.warning("a commit was not sent: %s", description_of(error))

    def _judge(
        self,
        client: confluent_kafka.Consumer,
        message: confluent_kafka.Message,
        error: KafkaError,
    ) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001  (its public name)
            self._go_on(
                client, Partition(message.topic() or "", message.partition() or 0)
            )
            return
        if error.fatal():
            raise KafkaFailed(f"the Kafka client failed for good: {error.str()}")
        text = error.str()
        if text not in self._warned:  # the same again says nothing new
            self._warned.add(text)
            logger.warning("Kafka: %s", text)

    def _go_on(self, client: confluent_kafka.Consumer, partition: Partition) -> None:
        """Read on where records are: those where reading stood were deleted."""
        if partition not in self._owned:
            return
        held = insist(lambda: bounds(client, [partition]), "deleted records", LOOK_UP_S)
        (position,) = client.position([TopicPartition(*partition)])
        low, end = held[partition]
        start = low if position.offset < low else end
        # It is no longer fetched, so that it cannot be moved by seek().
        client.incremental_unassign([TopicPartition(*partition)])
        client.incremental_assign([TopicPartition(*partition, start)])
        self._owner.on_deleted(partition, start)

    def _forget(self, partitions: Sequence[Partition]) -> None:
        """The next owner reads them again; in place, poll() returns this list."""
        gone = set(partitions)
        self._commits.drop(gone)
        self._read[:] = [
            record
            for record in self._read
            if (record.topic, record.partition) not in gone
        ]

    def _addressed(self, marks: Mapping[Partition, Mark]) -> list[TopicPartition]:
        return [
            TopicPartition(*partition, *mark)
            for partition, mark in marks.items()
            if partition in self._owned
        ]

    def _open_client(self) -> confluent_kafka.Consumer:
        if self._client is None:
            raise KafkaFailed("this source is not open: call subscribe() first")
        return self._client
