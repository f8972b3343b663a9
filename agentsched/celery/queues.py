"""Pools -> Celery queues, and how a doorbell gets into one.

The only place that knows the broker's priority numbers. It decides nothing.
"""

from collections.abc import Mapping, Sequence

from kombu import Exchange, Queue
from redis.exceptions import RedisError
from typing_extensions import override

from agentsched.celery.messages import encode_message
from agentsched.config.settings import DEFAULT_NAMESPACE, ModelSettings, Settings
from agentsched.errors import DoorbellFailed
from agentsched.protocols import DoorbellSender
from agentsched.redis.client import close_client, redis_client
from agentsched.redis.refusals import refusal
from agentsched.types import Priority
from agentsched.wire.doorbell import Doorbell

PRIORITY_STEPS = (0, 3, 6, 9)
"""The lists that kombu makes of one queue on Redis; 9 is free."""
LOWEST_NUMBER_FIRST: Mapping[str, int] = {
    Priority.HIGH: 0,
    Priority.MEDIUM: 3,
    Priority.LOW: 6,
}
"""Redis serves the lowest number first. (RabbitMQ the highest: it needs another table.)"""
PRIORITY_SEPARATOR = "\x06\x16"
"""Between a queue's name and the step, in the name of the list; step 0 has none."""
DEFAULT_PRIORITY = LOWEST_NUMBER_FIRST[Priority.MEDIUM]


def queue_of(model: ModelSettings) -> Queue:
    """Return the queue of a model's pool; the model's name is its alias.

    Exchange and routing key are its own: without them every queue would be bound to
    Celery's default exchange with the same key.
    """
    exchange = Exchange(model.queue, type="direct")
    return Queue(
        model.queue, exchange=exchange, routing_key=model.queue, alias=model.name
    )


def key_prefix(settings: Settings) -> str:
    """Return what stands before every key of Celery.

    Two installations on one Redis: the one with another namespace gets a prefix. Not the
    ledger's own: a queue may be called like one of its keys.
    """
    if settings.namespace == DEFAULT_NAMESPACE:
        return ""
    return f"{settings.namespace}:celery:"


def list_of(queue: str, priority: int) -> str:
    """Return the list of a queue in which messages of a priority lie."""
    return f"{queue}{PRIORITY_SEPARATOR}{priority}" if priority else queue


class CeleryDoorbells(DoorbellSender):
    """Rings in batches, past Celery's own machinery; see `DoorbellSender`.

    Args:
        settings: where the broker is, and which models have queues. It connects at the
            first use.
    """

    def __init__(self, settings: Settings) -> None:
        self._prefix = key_prefix(settings)
        self._queues = {model.name: model.queue for model in settings.models}
        # It repeats nothing: a push whose answer got lost could ring twice.
        self._client = redis_client(settings.redis)

    @override
    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        """A model without a queue is a DoorbellFailed, too; all others are rung for."""
        lists: dict[str, list[str]] = {}
        unknown: list[str] = []
        for doorbell in doorbells:
            queue = self._queues.get(doorbell.model)
            if queue is None:
                unknown.append(doorbell.model)
                continue
            priority = LOWEST_NUMBER_FIRST[doorbell.cls]
            message = encode_message(doorbell, queue, priority)
            lists.setdefault(list_of(queue, priority), []).append(message)
        self._push(lists)
        if unknown:
            raise DoorbellFailed(
                f"model {unknown[0]!r} has no queue: list it under `models:`"
            )

    @override
    def waiting(self, queue: str) -> int:
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for priority in PRIORITY_STEPS:
                    pipe.llen(self._prefix + list_of(queue, priority))
                return sum(pipe.execute())
        except RedisError as error:
            raise _broker_gone(error) from None

    @override
    def know(self, models: Sequence[ModelSettings]) -> None:
        self._queues |= {model.name: model.queue for model in models}

    def close(self) -> None:
        """Close the connections; idempotent."""
        close_client(self._client)

    def _push(self, lists: Mapping[str, list[str]]) -> None:
        if not lists:
            return
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for name, messages in lists.items():
                    pipe.lpush(self._prefix + name, *messages)
                pipe.execute()
        except RedisError as error:
            raise _broker_gone(error) from None


def _broker_gone(error: BaseException) -> DoorbellFailed:
    if refused := refusal(error):
        return DoorbellFailed(f"Celery's broker did not take it: {refused}")
    # Only the class: the text of a connection error may hold the URL and its password.
    return DoorbellFailed(
        f"Celery's broker did not take it ({type(error).__name__}); check redis.url and"
        " that Redis runs"
    )
