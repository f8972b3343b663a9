"""Looks at topics: partitions, replicas, configuration, records; changes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    OffsetSpec,
    ResourceType,
    TopicMetadata,
)

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.admin.client import Asking
from agentsched.kafka.admin.topics import UNREACHABLE_S
from agentsched.kafka.errors import code_of
from agentsched.kafka.topic_plan import TopicState


@dataclass(frozen=True, slots=True)
class Inspection:
    """What Kafka has."""

    brokers: int
    topics: dict[str, TopicState | None]
    """By name; None: there is no such topic."""


def inspect_topics(settings: KafkaSettings, names: Iterable[str]) -> Inspection:
    """Look at topics. Blocks for some round trips, 10 s each at most.

    Raises:
        KafkaFailed: Kafka cannot be reached, or does not let us look.
    """
    asking = Asking(settings)
    admin = asking.client
    try:
        cluster = admin.list_topics(timeout=UNREACHABLE_S)
        states: dict[str, TopicState | None] = {}
        for name in dict.fromkeys(names):
            found = cluster.topics.get(name)
            there = found is not None and found.error is None
            states[name] = _state(admin, found) if found and there else None
    except KafkaException as error:
        raise asking.failed(error) from error
    return Inspection(len(cluster.brokers), states)


def _state(admin: AdminClient, topic: TopicMetadata) -> TopicState:
    name = str(topic.topic)
    partitions = topic.partitions
    led = [number for number, each in partitions.items() if each.leader >= 0]
    return TopicState(
        name=name,
        partitions=len(partitions),
        replication=min(
            (len(each.replicas) for each in partitions.values()), default=0
        ),
        in_sync=min((len(each.isrs) for each in partitions.values()), default=0),
        without_leader=tuple(sorted(partitions.keys() - set(led))),
        records=_records(admin, name, led),
        config=_config(admin, name),
    )


def _records(admin: AdminClient, name: str, partitions: list[int]) -> int:
    """What lies between the oldest and the next offset; compaction leaves fewer."""
    latest, earliest = OffsetSpec.latest(), OffsetSpec.earliest()  # type: ignore[no-untyped-call]
    ends = _offsets(admin, name, partitions, latest)
    return ends - _offsets(admin, name, partitions, earliest)


def _offsets(
    admin: AdminClient, name: str, partitions: list[int], which: OffsetSpec
) -> int:
    if not partitions:
        return 0
    asked = {TopicPartition(name, number): which for number in partitions}
    answers = admin.list_offsets(asked, request_timeout=UNREACHABLE_S)
    return sum(answer.result().offset for answer in answers.values())


def _config(admin: AdminClient, name: str) -> dict[str, str] | None:
    resource = ConfigResource(ResourceType.TOPIC, name)
    (answer,) = admin.describe_configs(
        [resource], request_timeout=UNREACHABLE_S
    ).values()
    try:
        entries = answer.result()
    except KafkaException as error:
        if code_of(error) == KafkaError._UNSUPPORTED_FEATURE:  # noqa: SLF001  (its public name)
            return None  # the embedded broker
        raise
    return {
        key: entry.value for key, entry in entries.items() if entry.value is not None
    }
