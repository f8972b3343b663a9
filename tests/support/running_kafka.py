"""Kafka that runs somewhere, for tests: its topics, commits and offsets."""

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

from agentsched.wire.records import Mark
from tests.support.waiting import eventually


class RunningKafka:
    """What its address is enough for.

    Args:
        bootstrap: where it is.
        pids: of its nodes.
    """

    def __init__(self, bootstrap: str, pids: tuple[int, ...] = ()) -> None:
        self.bootstrap = bootstrap
        self.pids = pids

    @property
    def count(self) -> int:
        """How many nodes it has."""
        return self.bootstrap.count(",") + 1

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Nothing is answered meanwhile, to nobody: a moment only, as others use it."""
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            # The signal is on its way for a moment, in which a thread may still answer.
            eventually(lambda: all(_stands_still(pid) for pid in self.pids))
            yield
        finally:
            for pid in self.pids:
                os.kill(pid, signal.SIGCONT)

    def create_topics(
        self, topics: Mapping[str, int], config: Mapping[str, str] | None = None
    ) -> None:
        """Create {name: partitions}, stamped with the broker's time unless said else."""
        config = {"message.timestamp.type": "LogAppendTime", **(config or {})}
        replicas = min(3, self.count)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        wanted = [
            NewTopic(name, partitions, replicas, config=config)
            for name, partitions in topics.items()
        ]
        for future in admin.create_topics(wanted).values():
            future.result()
        eventually(
            lambda: set(topics) <= set(admin.list_topics(timeout=5).topics),
            message="the new topics are not in the metadata",
        )

    def delete_topic(self, topic: str) -> None:
        """Delete a topic, and wait until it is gone."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.delete_topics([topic]).values():
            future.result()
        eventually(
            lambda: topic not in admin.list_topics(timeout=5).topics,
            message=f"{topic} is still in the metadata",
        )

    def commit(self, group: str, topic: str, mark: Mark, partition: int = 0) -> None:
        """Set what a group without members has committed."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        wanted = [
            ConsumerGroupTopicPartitions(
                group, [TopicPartition(topic, partition, *mark)]
            )
        ]

        def committed() -> bool:
            (future,) = admin.alter_consumer_group_offsets(wanted).values()
            return not any(each.error for each in future.result().topic_partitions)

        # The first commit of a cluster finds its coordinator still loading.
        eventually(committed, timeout_s=20, message=f"{group} commits {mark}")

    def offsets(self, topic: str, partition: int = 0) -> list[int]:
        """The offsets of the records that can be read now."""
        reader = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "offsets",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        reader.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
        found: list[int] = []
        try:
            while (message := reader.poll(10)) is not None and not message.error():
                found.append(message.offset())
        finally:
            reader.close()
        return found

    def end(self, topic: str, partition: int = 0) -> int:
        """The offset of the next record."""
        reader = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "end"})
        try:
            return reader.get_watermark_offsets(TopicPartition(topic, partition), 10)[1]
        finally:
            reader.close()


def _stands_still(pid: int) -> bool:
    """Return whether every thread of a process is stopped."""
    states = [
        (task / "stat").read_text().rpartition(")")[2].split()[0]
        for task in Path(f"/proc/{pid}/task").iterdir()
    ]
    return all(state == "T" for state in states)
