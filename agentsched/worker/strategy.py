"""What Celery's consumer does with a doorbell: wake a slot, acknowledge when it has looked.

Celery's own way, a Request and a tracer for each message, would cost more than all the
rest of a request. All of it runs in the consumer's loop; nothing blocks.
"""

import logging
from collections.abc import Callable, Mapping
from types import MethodType
from typing import TYPE_CHECKING, Any

from celery import Celery

from agentsched.errors import CodecError
from agentsched.telemetry.events import DOORBELL_REFUSED
from agentsched.telemetry.logs import say
from agentsched.wire.doorbell import Doorbell
from agentsched.worker import runtime
from agentsched.worker.celery_tasks import is_revoked

if TYPE_CHECKING:
    from celery import Task

logger = logging.getLogger(__name__)


class Bells:
    """The doorbells of one connection of the consumer."""

    def __init__(self, consumer: Any) -> None:  # noqa: ANN401  (Celery's, untyped)
        self._consumer = consumer
        self._held = 0
        channel: Any = consumer.connection.default_channel
        qos = channel.qos
        within_prefetch = qos.can_consume

        def can_consume(_: object) -> bool:
            # kombu 5.7 asks before a BRPOP, and again before it reads the answer: told no
            # there, it keeps what it has popped until credit returns, and nobody is woken.
            under_way = bool(getattr(channel, "_in_poll", False))
            return under_way or (self._wanted() and bool(within_prefetch()))

        # A worker whose slots are busy must not take what another one waits for.
        qos.can_consume = MethodType(can_consume, qos)

    def received(
        self,
        message: Any,  # noqa: ANN401
        body: Any,  # noqa: ANN401, ARG002
        ack: Callable[..., Any],
        reject: Callable[..., Any],
        callbacks: Any,  # noqa: ANN401, ARG002
    ) -> None:
        """Take one message of a model's queue."""
        errors = self._consumer.connection_errors
        opened = runtime.opened()
        try:
            doorbell = Doorbell.from_wire(_kwargs(message))
        except CodecError as error:
            say(DOORBELL_REFUSED, detail=error.detail)
            ack(logger, errors)
            return
        if opened is not None and is_revoked(
            doorbell.key, doorbell.epoch, doorbell.turn
        ):
            opened.revokes.dropped(doorbell)
            ack(logger, errors)
        elif opened is None or not self._wanted():
            # It came by a request to the broker that was under way when the last slot
            # got busy: it goes back to its queue, to the other end, for who waits.
            reject(logger, errors, True)  # noqa: FBT003
        else:
            self._held += 1
            pool = self._consumer.pool
            opened.slots.ring(
                doorbell, lambda: pool.tell(self._acknowledge, ack, errors)
            )

    def _wanted(self) -> bool:
        opened = runtime.opened()
        return opened is not None and opened.slots.waiting() > self._held

    def _acknowledge(self, ack: Callable[..., Any], errors: object) -> None:
        self._held -= 1
        ack(logger, errors)


def doorbell_strategy(
    task: "Task[Any, Any]",  # noqa: ARG001
    app: Celery,  # noqa: ARG001
    consumer: Any,  # noqa: ANN401
    **_: object,
) -> Callable[..., None]:
    """Return what handles messages of the task; Celery asks for it at every connection."""
    return Bells(consumer).received


def _kwargs(message: Any) -> Mapping[str, Any]:  # noqa: ANN401
    """Return the keyword arguments of a message, which may be anything."""
    try:
        _, kwargs, _ = message.payload
    except Exception as error:  # noqa: BLE001  (whatever decoders raise; its text may be content)
        logger.debug("a message that is no task (%s)", type(error).__name__)
        return {}
    return kwargs if isinstance(kwargs, Mapping) else {}
