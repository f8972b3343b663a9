"""Owns `agentsched cancel`: writes the record that cancels a request."""

import contextlib

import click

from agentsched.config.loader import load_settings
from agentsched.errors import ConfigurationError
from agentsched.kafka.librdkafka import producer_properties
from agentsched.kafka.producer import Producer
from agentsched.types import DEFAULT_AGENT_ID
from agentsched.wire.codec import Identity, cancel_record

CLOSE_S = 5.0


@click.command("cancel")
@click.argument("correlation_id")
@click.option(
    "--agent",
    "agent_id",
    default=DEFAULT_AGENT_ID,
    show_default=True,
    help="Whose request it is.",
)
@click.option(
    "--topic",
    help="The input topic that the request is on: then it is found first. Any other"
    " input topic will do. Default: the first of kafka.input_topics.",
)
def command(correlation_id: str, agent_id: str, topic: str | None) -> None:
    """Cancel a request, wherever it is: it is answered CANCELLED, once.

    A call that runs is broken off, so that the model server can stop. What has its
    answer already keeps it. A request that is not read yet is cancelled when it is.
    """
    settings = load_settings().settings
    topics = settings.kafka.input_topics
    if topic is not None and topic not in topics:
        raise ConfigurationError(
            f"no bridge reads {topic!r}; kafka.input_topics: {', '.join(topics)}"
        )
    keys = producer_properties(
        settings.kafka,
        delivery_timeout_s=settings.timing.delivery_timeout_s,
        value_max_bytes=settings.limits.request_max_bytes,
    )
    producer = Producer(settings.kafka.bootstrap_servers, properties=keys)
    with contextlib.closing(producer):
        record = cancel_record(Identity(agent_id, correlation_id), topic or topics[0])
        producer.send(record).result(settings.timing.delivery_timeout_s)
    click.echo(
        f"written to {record.topic}; unless it has its answer already, the request is"
        f" answered CANCELLED on {settings.kafka.output_topic}"
    )
