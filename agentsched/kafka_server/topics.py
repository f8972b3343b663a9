"""Create topics that are missing; nothing else of ours changes the cluster."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from agentsched.config.settings import KafkaSettings
from agentsched.kafka_server.errors import KafkaFailed, code_of, said_by
from agentsched.kafka_server.librdkafka import (
    HEADERS_MAX_BYTES,
    RECORD_MAX_BYTES,
    admin_properties,
    log,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

UNREACHABLE_S = 10.0
BROKERS_DEFAULT = -1
"""As `replication`: a cluster of three that is told nothing else should keep three."""
SAID_S = 0.1
_REFUSALS = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001  (its public name)
        KafkaError._SSL,  # noqa: SLF001
        KafkaError.SASL_AUTHENTICATION_FAILED,
    }
)


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
    value_max_bytes: int = RECORD_MAX_BYTES,
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
    said: list[KafkaError] = []
    properties: dict[str, Any] = {
        **admin_properties(settings),
        # What is wrong is said once, by the error.
        "error_cb": said.append,
        "log_level": 0,
    }
    admin = AdminClient(properties, logger=log)
    try:
        there = admin.list_topics(timeout=UNREACHABLE_S).topics
    except KafkaException as error:
        admin.poll(SAID_S)  # hands over what the client learned meanwhile
        raise _unreachable(settings, error, said) from error
    missing = [name for name in dict.fromkeys(topics) if name not in there]
    if not missing:
        return TopicsReport(())
    keys = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(value_max_bytes + HEADERS_MAX_BYTES),
        **(config or {}),
    }
    wanted = [NewTopic(name, partitions, replication, config=keys) for name in missing]
    return _outcome(admin.create_topics(wanted, request_timeout=UNREACHABLE_S))


def _unreachable(
    settings: KafkaSettings, error: KafkaException, said: Sequence[KafkaError]
) -> KafkaFailed:
    """Return the error that names the address and says what to do.

    Args:
        settings: where Kafka is.
        error: what the question ended with, mostly a time-out.
        said: what the client learned meanwhile.
    """
    where = _listed(settings.bootstrap_servers)
    if refusals := [each.str() for each in said if each.code() in _REFUSALS]:
        return KafkaFailed(
            f"Kafka at {where} refused us ({refusals[-1]}): check kafka.properties"
            " (security.protocol, sasl.*, ssl.*)"
        )
    return KafkaFailed(
        f"no Kafka at {where} ({said_by(error)}): start it, or set"
        " kafka.bootstrap_servers (BOOTSTRAP_SERVERS) to where it is; one that wants TLS"
        " or a login needs kafka.properties"
    )


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
                    f"Kafka did not create topic {name!r}: {said_by(error)}"
                ) from error
        else:
            created.append(name)
    return TopicsReport(tuple(created), tuple(missing))


def _listed(servers: Sequence[str]) -> str:
    return ", ".join(servers)
