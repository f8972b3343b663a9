"""Settings -> librdkafka keys: the one place with its names and its milliseconds.

It makes no client. Keys from `kafka.properties` win over ours, except over those
that the delivery contract rests on. They may hold passwords: nothing here is logged.
"""

import logging
from collections.abc import Mapping, Sequence

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.log_throttle import Repeats
from agentsched.kafka.property_values import checked_properties, servers_text

Properties = dict[str, object]

MAX_RECORD_BYTES = 1_048_576
MAX_HEADERS_BYTES = 65_536
"""Room for key, headers and framing beside a value of the largest size."""
MAX_QUEUED_KBYTES = 16_384
"""What one consumer reads ahead; payloads wait in Kafka, not in our memory."""
METADATA_REFRESH_S = 5.0
"""After so long a topic or partition that was made later is noticed."""

log = logging.getLogger("agentsched.kafka.librdkafka")
log.addFilter(Repeats())


def connection_properties(
    bootstrap_servers: str | Sequence[str], more: Mapping[str, object] | None = None
) -> Properties:
    """Return what every client needs; `more` wins over it.

    Raises:
        PropertiesRefused: Kafka's client would not take one of them as it is.
    """
    return {
        "bootstrap.servers": servers_text(bootstrap_servers),
        "client.id": "agentsched",
        "topic.metadata.refresh.interval.ms": _ms(METADATA_REFRESH_S),
        # Otherwise librdkafka writes to stderr.
        "logger": log,
        **checked_properties(more or {}),
    }


def admin_properties(settings: KafkaSettings) -> dict[str, str | int | float | bool]:
    """Return the keys of an AdminClient (pass `logger=log` beside them)."""
    checked_properties(settings.properties)
    return {
        "bootstrap.servers": ",".join(settings.bootstrap_servers),
        "client.id": "agentsched",
        **settings.properties,
    }


def request_source_properties(settings: KafkaSettings) -> Properties:
    """Return the keys of the bridge's group member: it commits itself, and only that."""
    ours = _reading(settings.fetch_wait_ms) | _group_protocol(settings)
    fixed = {
        "group.id": settings.group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Where reading starts is decided by us; that records are gone is an alarm.
        "auto.offset.reset": "error",
    }
    return connection_properties(
        settings.bootstrap_servers, ours | dict(settings.properties) | fixed
    )


def agent_consumer_properties(
    bootstrap_servers: str | Sequence[str],
    group_id: str,
    more: Mapping[str, object] | None = None,
) -> Properties:
    """Return the keys of an agent's consumer: stored offsets are committed each second.

    Start offsets are chosen by the consumer when it gets partitions; the reset only
    serves where a position is gone (retention), and then the oldest reply is wanted.
    """
    more = dict(more or {})
    ours = _reading(fetch_wait_ms=100) | {"auto.commit.interval.ms": 1000}
    fixed = {
        "group.id": group_id,
        "enable.auto.commit": True,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
    }
    if more.get("group.protocol") != "consumer":
        # Eager: on the embedded broker a cooperative join takes 10 s, this one 0.1 s.
        ours |= {
            "partition.assignment.strategy": "range",
            "session.timeout.ms": 10_000,
            "heartbeat.interval.ms": 1000,
        }
    return connection_properties(bootstrap_servers, ours | more | fixed)


def reader_properties(settings: KafkaSettings) -> Properties:
    """Return the keys of a consumer that reads one record and belongs to no group."""
    fixed = {
        # librdkafka wants one for assign(); nothing is ever committed under it.
        "group.id": f"{settings.group_id}.reader",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
    }
    ours = _reading(fetch_wait_ms=10) | dict(settings.properties)
    return connection_properties(settings.bootstrap_servers, ours | fixed)


def topic_reader_properties(
    bootstrap_servers: str | Sequence[str],
    fetch_wait_ms: int,
    more: Mapping[str, object] | None = None,
) -> Properties:
    """Return the keys of a consumer that reads whole topics and belongs to no group."""
    fixed = {
        # librdkafka wants one for assign(); nothing is ever committed under it.
        "group.id": "agentsched-topic-reader",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        # Where a position is gone (retention), the oldest that is left is wanted.
        "auto.offset.reset": "earliest",
    }
    ours = _reading(fetch_wait_ms) | dict(more or {})
    return connection_properties(bootstrap_servers, ours | fixed)


def producer_properties(
    settings: KafkaSettings,
    *,
    delivery_timeout_s: float = 10.0,
    value_max_bytes: int = MAX_RECORD_BYTES,
) -> Properties:
    """Return the keys of a producer for `Producer(properties=...)`.

    Args:
        settings: where Kafka is.
        delivery_timeout_s: when a record that is not acknowledged counts as failed.
        value_max_bytes: the largest value; the broker's own limit stands beside it.
    """
    ours: Properties = {
        "delivery.timeout.ms": _ms(delivery_timeout_s),
        # By default a missing topic is known for one after 30 s: until then a record
        # only runs out of time.
        "topic.metadata.propagation.max.ms": _ms(delivery_timeout_s / 2),
    }
    return ours | record_size_properties(value_max_bytes) | dict(settings.properties)


def record_size_properties(value_max_bytes: int) -> Properties:
    """Return the key that lets a producer send values of this size."""
    return {"message.max.bytes": value_max_bytes + MAX_HEADERS_BYTES}


def agent_producer_properties(
    bootstrap_servers: str | Sequence[str], more: Mapping[str, object] | None = None
) -> Properties:
    """Return all keys of a producer: idempotent, acknowledged by all replicas."""
    ours: Properties = {
        "linger.ms": 2,
        "delivery.timeout.ms": 30_000,
        "message.max.bytes": MAX_RECORD_BYTES + MAX_HEADERS_BYTES,
    }
    fixed = {"enable.idempotence": True, "acks": "all"}
    return connection_properties(bootstrap_servers, ours | dict(more or {}) | fixed)


def is_cooperative(properties: Mapping[str, object]) -> bool:
    """Return whether partitions come and go one by one (incremental_assign)."""
    return properties.get("group.protocol") == "consumer" or "cooperative" in str(
        properties.get("partition.assignment.strategy", "")
    )


def _reading(fetch_wait_ms: int) -> Properties:
    return {
        "enable.partition.eof": False,
        "fetch.wait.max.ms": fetch_wait_ms,
        "queued.max.messages.kbytes": MAX_QUEUED_KBYTES,
    }


def _group_protocol(settings: KafkaSettings) -> Properties:
    if settings.group_protocol == "consumer":
        # Assignor and time-outs are the broker's here; to name one is an error.
        return {"group.protocol": "consumer"}
    return {
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": _ms(settings.session_timeout_s),
        "heartbeat.interval.ms": _ms(settings.session_timeout_s / 10),
    }


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
