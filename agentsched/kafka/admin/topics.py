"""Create topics that are missing; nothing else of ours changes the cluster."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.cimpl import NewTopic

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.admin.client import Asking
from agentsched.kafka.errors import KafkaFailed, code_of, description_of
from agentsched.kafka.librdkafka import MAX_HEADERS_BYTES, MAX_RECORD_BYTES

if TYPE_CHECKING:
    from concurrent.futures import Future

UNREACHABLE_S = 10.0
BROKERS_DEFAULT = -1
"""As `replication`: a cluster of three that is told nothing else should keep three."""


@dataclass(frozen=True, slots=True)
class TopicsReport:
    """What `ensure_topics` did."""

    created: tuple[str, ...]
    missing: tuple[str, ...] = ()
    """Not there, and this broker creates none on request (the embedded one)."""


def ensure_topics(  # noqa: PLR0913  (a new topic has as many sides)
    settings: KafkaSettings,
    topics: Iterable[str],
    partitions: int = 1,
    replication: int = BROKERS_DEFAULT,
    *,
    value_max_bytes: int = MAX_RECORD_BYTES,
    config: Mapping[str, str] | None = None,
) -> TopicsReport:
    """Create the topics that are missing; existing ones stay as they are.

    Blocks for up to 10 s to reach Kafka and 10 s more to create. New topics stamp
    records with the broker's time (deadlines count from it) and take values of
    `value_max_bytes` beside their headers.

    Args:
        settings: where Kafka is.
        topics: their names.
        partitions: of each new topic, 1 or more.
        replication: of each new topic; -1: what the broker does by default.
        value_max_bytes: the largest value of a record.
        config: more of Kafka's keys.

    Raises:
        KafkaFailed: Kafka cannot be reached, or refused a topic.
    """
    asking = Asking(settings)
    try:
        there = asking.client.list_topics(timeout=UNREACHABLE_S).topics
    except KafkaException as error:
        raise asking.failed(error) from error
    missing = [name for name in dict.fromkeys(topics) if name not in there]
    if not missing:
        return TopicsReport(())
    keys = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(value_max_bytes + MAX_HEADERS_BYTES),
        **(config or {}),
    }
    wanted = [NewTopic(name, partitions, replication, config=keys) for name in missing]
    return _outcome(asking.client.create_topics(wanted, request_timeout=UNREACHABLE_S))


def _outcome(futures: dict[str, "Future[None]"]) -> TopicsReport:
    created, missing = [], []
    for name, future in futures.items():
        try:
            future.result()
        except KafkaException as error:
            code = code_of(error)
            if code == KafkaError._UNSUPPORTED_FEATURE:  # noqa: SLF001  (its public name)
                missing.append(name)
            elif code != KafkaError.TOPIC_ALREADY_EXISTS:  # another process was faster
                raise KafkaFailed(
                    f"Kafka did not create topic {name!r}: {description_of(error)}"
                ) from error
        else:
            created.append(name)
    return TopicsReport(tuple(created), tuple(missing))
