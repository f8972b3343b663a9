"""Errors of the Kafka clients; those for agents are KafkaExceptions too.

Programs written against the published API catch `confluent_kafka.KafkaException`,
so what they can meet derives from it and from `AgentSchedError`. They live here
because `agentsched.errors` imports no client.
"""

from confluent_kafka import KafkaError, KafkaException

from agentsched.errors import AgentSchedError, DeliveryFailed


class KafkaFailed(AgentSchedError, KafkaException):  # noqa: N818  (as DeliveryFailed)
    """Kafka cannot be reached, refused, or the client is broken for good."""


class PropertiesRefused(KafkaFailed, ValueError):  # noqa: N818
    """The client does not take its properties: waiting does not help."""


class RecordRefused(KafkaFailed, ValueError):  # noqa: N818
    """Kafka's client could not take a record as it is; nothing was sent.

    The text names what is wrong with it and no content.
    """


class RecordNotDelivered(DeliveryFailed, KafkaException):
    """Kafka did not acknowledge a record in time, or refused it; see DeliveryFailed."""


class LocalQueueFull(KafkaFailed):
    """The producer's own queue is full: Kafka is slower than the caller."""


class ProducerClosed(KafkaFailed):
    """Something was produced after `close()`."""


class ConsumerClosed(AgentSchedError):  # noqa: N818  (names the event)
    """`consume()` was called after `close()`, in the main thread.

    No KafkaException: a loop that catches those would never end. In another thread
    `consume()` raises SystemExit instead, which ends that thread without a word
    (docs/decisions/0004-consume-after-close.md).
    """


def description_of(error: KafkaException) -> str:
    """Return the client's own words, without Python's wrapping."""
    first = error.args[0] if error.args else error
    return first.str() if hasattr(first, "str") else str(first)


def is_fatal(error: KafkaException) -> bool:
    """Return whether the client that raised this is of no use any more."""
    first = error.args[0] if error.args else None
    return isinstance(first, KafkaError) and (
        first.fatal() or first.code() == KafkaError._FATAL  # noqa: SLF001  (its public name)
    )


def code_of(error: KafkaException) -> int | None:
    """Return the KafkaError code inside, or None where there is none."""
    first = error.args[0] if error.args else None
    return first.code() if isinstance(first, KafkaError) else None
