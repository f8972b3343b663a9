"""Asks librdkafka which keys of `kafka.properties` it refuses; connects to nothing.

Without it a wrong key shows when the first reply is to be sent.
"""

import logging
from collections.abc import Callable
from functools import partial

import confluent_kafka
from confluent_kafka import KafkaException

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.errors import description_of
from agentsched.kafka.librdkafka import Properties, reader_properties
from agentsched.kafka.property_values import checked_properties

INCOMPLETE = "Failed to create"
"""How librdkafka begins when it knows every key and they do not go together."""

_silent = logging.getLogger("agentsched.kafka.property_check.silent")
_silent.disabled = True  # a key alone lacks others: no warning of that


def refused_properties(settings: KafkaSettings) -> dict[str, str]:
    """Return key -> librdkafka's words; the key is empty where it names none.

    Blocks for some milliseconds a key.
    """
    if not settings.properties:
        return {}
    whole = _refusal(lambda: reader_properties(settings))
    if whole is None:
        return {}
    alone = {
        key: _refusal(partial(_alone, key, value))
        for key, value in settings.properties.items()
    }
    # Alone a client may lack what others of them say: that is none of the key's.
    wrong = {
        key: words
        for key, words in alone.items()
        if words and not words.startswith(INCOMPLETE)
    }
    return wrong or {"": whole}


def _alone(key: str, value: object) -> Properties:
    return checked_properties({"group.id": "check", key: value})


def _refusal(properties: Callable[[], Properties]) -> str | None:
    try:
        confluent_kafka.Consumer(properties() | {"logger": _silent}).close()
    except KafkaException as error:
        return description_of(error)
    except (TypeError, ValueError):
        return "the kind of its value"
    return None
