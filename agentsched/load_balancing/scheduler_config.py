"""From what a `Scheduler` is told to the settings of its services; it starts nothing."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from agentsched.config.section import named
from agentsched.config.settings import (
    DEFAULT_INPUT_TOPICS,
    ConnectionPoolSettings,
    EndpointSettings,
    KafkaSettings,
    LimitSettings,
    ModelSettings,
    RedisSettings,
    Settings,
)
from agentsched.errors import ConfigurationError
from agentsched.types import TaskType


@dataclass(frozen=True)
class SchedulerConfig:
    """Where a `Scheduler` reads requests and writes replies.

    Attributes:
        bootstrap_servers: Kafka's addresses: a list, or one text with commas.
        input_topics: topics with requests; three of them are high, medium, low.
        output_topic: the topic of the replies.
        max_workers: requests in flight over all models together.
        redis_url: None: $REDIS_URL, and without it a Redis of its own, which ends
            with the scheduler.
        group_id: the consumer group of the bridge.
        kafka_properties: more librdkafka keys, such as `security.protocol`.
    """

    bootstrap_servers: str | Sequence[str] = "localhost:9092"
    input_topics: Sequence[str] = DEFAULT_INPUT_TOPICS
    output_topic: str = "results"
    max_workers: int = 10
    redis_url: str | None = None
    group_id: str = "agentsched-bridge"
    kafka_properties: Mapping[str, str | int | float | bool] = field(
        default_factory=dict, repr=False
    )


def settings_of(
    config: SchedulerConfig, models: Sequence[ModelSettings], redis_url: str
) -> Settings:
    """Build the configuration of all services.

    Args:
        config: of the scheduler.
        models: that are served.
        redis_url: empty where it is not known yet: its own Redis has an address only
            when it runs.

    Raises:
        ConfigurationError: a value is wrong, or two do not fit together.
    """
    servers = config.bootstrap_servers
    most = max((model.capacity for model in models), default=1)
    pool = ConnectionPoolSettings()
    with _explained():
        return Settings(
            kafka=KafkaSettings(
                bootstrap_servers=tuple(
                    servers.split(",") if isinstance(servers, str) else servers
                ),
                input_topics=tuple(config.input_topics),
                output_topic=config.output_topic,
                group_id=config.group_id,
                properties=dict(config.kafka_properties),
            ),
            redis=RedisSettings(url=redis_url) if redis_url else RedisSettings(),
            models=tuple(models),
            limits=LimitSettings(max_in_flight=config.max_workers),
            connection_pool=ConnectionPoolSettings(
                max_connections=max(pool.max_connections, most)
            ),
        )


def model_of(
    name: str,
    capacity: int,
    tasks: Sequence[TaskType | str],
    base_url: str,
    key_variable: str | None,
) -> ModelSettings:
    """Build the settings of one model.

    Raises:
        ConfigurationError: a value is wrong.
    """
    with _explained():
        endpoint = EndpointSettings(
            base_url=base_url, capacity=capacity, api_key_env=key_variable
        )
        return ModelSettings.model_validate(
            {"name": name, "task_types": tuple(tasks), "endpoints": (endpoint,)}
        )


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn what validation says into one error of ours, without the values."""
    try:
        yield
    except ValidationError as error:
        lines = [
            f"{named(problem['loc'])}: {problem['msg']}".removeprefix(": Value error, ")
            for problem in error.errors(include_input=False)
        ]
        raise ConfigurationError("; ".join(lines)) from None
