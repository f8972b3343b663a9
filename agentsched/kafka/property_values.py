"""What may be handed to Kafka's client as a property; it knows no key by its meaning.

The client ends the whole process at a name that is not UTF-8, takes the default where a
value is not, and cuts text off at a zero byte (confluent-kafka 2.16.1).
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import cast

from agentsched.kafka.errors import PropertiesRefused

SIMPLE = (str, int, float, PurePath)
BY_OBJECT = ("logger", "default.topic.config")


def checked_properties(properties: Mapping[str, object]) -> dict[str, object]:
    """Return properties that the client takes as they are.

    Raises:
        PropertiesRefused: it would not; names the key, never the value.
    """
    for key, value in cast("Mapping[object, object]", properties).items():
        if not isinstance(key, str):
            raise PropertiesRefused(
                f"the name of a Kafka property must be text, not {type(key).__name__}"
            )
        shown = ascii(key)
        if problem := _text_problem(key):
            raise PropertiesRefused(f"the name of Kafka property {shown} {problem}")
        if value is None or callable(value) or key in BY_OBJECT:
            continue
        if not isinstance(value, SIMPLE):
            raise PropertiesRefused(
                f"Kafka property {shown} must be text, a number or a truth value, not"
                f" {type(value).__name__}"
            )
        if problem := _text_problem(str(value)):
            raise PropertiesRefused(f"the value of Kafka property {shown} {problem}")
    return dict(properties)


def servers_text(bootstrap_servers: object) -> str:
    """Return the servers with commas between.

    Raises:
        PropertiesRefused: they are neither text nor a sequence of texts, or none.
    """
    one_text = isinstance(bootstrap_servers, str)
    servers = [bootstrap_servers] if one_text else bootstrap_servers
    if isinstance(servers, Sequence) and servers:
        texts = [each for each in servers if isinstance(each, str) and each.strip()]
        if len(texts) == len(servers):
            text = ",".join(texts)
            if problem := _text_problem(text):
                raise PropertiesRefused(f"bootstrap_servers {problem}")
            return text
    raise PropertiesRefused(
        "bootstrap_servers must be host:port, or a sequence of such texts"
    )


def _text_problem(text: str) -> str:
    if "\0" in text:
        return "has a zero byte"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "has half of a surrogate pair, which is not UTF-8"
    return ""
