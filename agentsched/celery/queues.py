"""Pools -> Celery queues, and how a doorbell gets into one.

The only place that knows the broker's priority numbers. It decides nothing.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery
from kombu import Exchange, Producer, Queue
from kombu.exceptions import KombuError, OperationalError
from typing_extensions import override

from agentsched.config.settings import ModelSettings
from agentsched.errors import DoorbellFailed
from agentsched.protocols import DoorbellSender
from agentsched.redis.refusals import refusal
from agentsched.types import Priority
from agentsched.wire.doorbell import TASK_NAME, Doorbell

PRIORITY_STEPS = (0, 3, 6, 9)
"""The lists that kombu makes of one queue on Redis; 9 is free."""
LOWEST_NUMBER_FIRST: Mapping[str, int] = {
    Priority.HIGH: 0,
    Priority.MEDIUM: 3,
    Priority.LOW: 6,
}
"""Redis serves the lowest number first. (RabbitMQ the highest: it needs another table.)"""
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


class CeleryDoorbells(DoorbellSender):
    """Rings through Celery over one connection of its own; see `DoorbellSender`."""

    def __init__(self, app: Celery) -> None:
        """Connects at the first use.

        Args:
            app: its configuration has the queues of all models.
        """
        self._app = app
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    @override
    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        """A model without a queue is a DoorbellFailed, too."""
        with self._lock:
            try:
                producer = self._connected()
                for doorbell in doorbells:
                    self._send(doorbell, producer)
            except self._broker_errors() as error:
                self._disconnect()
                raise _broker_gone(error) from None

    @override
    def waiting(self, queue: str) -> int:
        with self._lock:
            try:
                channel: Any = self._connected().channel
                # Not passive: kombu 5.7 asks for EXISTS without its own key prefix, and
                # finds no queue. On Redis a declaration writes nothing.
                return int(channel.queue_declare(queue).message_count)
            except self._broker_errors() as error:
                self._disconnect()
                raise _broker_gone(error) from None

    @override
    def know(self, models: Sequence[ModelSettings]) -> None:
        with self._lock:
            for model in models:
                self._app.amqp.queues.add(queue_of(model))

    def close(self) -> None:
        """Close the connection; idempotent."""
        with self._lock:
            self._disconnect()

    def _send(self, doorbell: Doorbell, producer: Producer) -> None:
        self._app.send_task(
            TASK_NAME,
            kwargs=doorbell.to_wire(),
            task_id=doorbell.task_id,
            queue=self._queue(doorbell.model),
            priority=LOWEST_NUMBER_FIRST[doorbell.cls],
            producer=producer,
            # A repeat by Celery could ring twice; the reconciler rings again.
            retry=False,
            ignore_result=True,
            argsrepr="()",
            kwargsrepr=_shown(doorbell),
        )

    def _queue(self, model: str) -> str:
        try:
            return str(self._app.amqp.queues[model].name)
        except KeyError:
            raise DoorbellFailed(
                f"model {model!r} has no queue: list it under `models:`"
            ) from None

    def _connected(self) -> Producer:
        if self._producer is None:
            connection = self._app.connection_for_write()
            # Now and twice; otherwise the first use of the channel would try for ever.
            connection.ensure_connection(max_retries=1, interval_start=0)
            self._producer = self._app.amqp.Producer(connection, auto_declare=False)
        return self._producer

    def _disconnect(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None and producer.connection is not None:
            producer.connection.release()

    def _broker_errors(self) -> tuple[type[BaseException], ...]:
        transport = self._app.connection_for_write().transport
        return (
            OperationalError,
            KombuError,
            OSError,
            *transport.connection_errors,
            *transport.channel_errors,
        )


def _shown(doorbell: Doorbell) -> str:
    """Return what logs, events and Flower show: a dict's text, which Flower searches."""
    return repr(
        {
            "model": doorbell.model,
            "class": doorbell.cls,
            "agent_id": doorbell.agent_id,
            "correlation_id": doorbell.correlation_id,
        }
    )


def _broker_gone(error: BaseException) -> DoorbellFailed:
    if refused := refusal(error) or refusal(error.__cause__):
        return DoorbellFailed(f"Celery's broker did not take it: {refused}")
    # Only the class: the text of a connection error may hold the URL and its password.
    return DoorbellFailed(
        f"Celery's broker did not take it ({type(error).__name__}); check redis.url and"
        " that Redis runs"
    )
