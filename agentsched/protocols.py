"""What the parts ask of the world outside: small protocols; nothing is done here."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from agentsched.config.settings import EndpointSettings, ModelSettings
from agentsched.types import MAX_TOKENS, Message
from agentsched.wire.doorbell import Doorbell
from agentsched.wire.records import OutboundRecord, RecordAt


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered."""

    content: str | None
    """None where the model only called tools, or stopped before the first word."""
    finish_reason: str | None
    tool_calls: list[dict[str, Any]] | None
    usage: dict[str, Any] | None
    """As the server counted; some servers send none."""
    model_s: float
    """How long the call took."""
    resent: int = 0
    """How often it was sent again because a kept connection proved stale."""
    reasoning: str | None = None
    """What it thought before, where the server says that apart."""
    function_call: dict[str, Any] | None = None
    """The call of a model that is asked with `functions`, the older form of tools."""

    @property
    def completion_tokens(self) -> int | None:
        """The tokens of the answer, where the server gave a count that can be one."""
        count = (self.usage or {}).get("completion_tokens")
        if isinstance(count, float) and count.is_integer():
            count = int(count)
        sane = type(count) is int and 0 <= count <= MAX_TOKENS
        return count if sane else None


class Completer(Protocol):
    """One attempt to have one endpoint answer one request."""

    async def complete(
        self,
        endpoint: EndpointSettings,
        model: str,
        request: Message,
        timeout_s: float,
        traceparent: str = "",
    ) -> Completion:
        """Call the model once and wait for the whole answer.

        Cancelling the coroutine ends the call, and closes its connection.

        Args:
            endpoint: where to.
            model: the name that the server is asked for.
            request: what is asked.
            timeout_s: for everything, from the connection to the last byte.
            traceparent: W3C trace context that the server is given; "": none.

        Raises:
            CallFailed: with the code of the failed reply; its text holds no content.
        """


class RecordSink(Protocol):
    """Writes records to Kafka. Safe to call from several threads."""

    def send(self, record: OutboundRecord) -> Future[RecordAt]:
        """Hand a record over; never waits for room or for Kafka, and raises nothing.

        The future has the place of the record once Kafka acknowledged it, and fails
        with `DeliveryFailed` when it did not: at once where so many records wait that
        there is no room for this one. Whatever has to follow the record follows the
        future, so a record that failed is sent again.
        """

    def flush(self, timeout_s: float) -> int:
        """Wait up to `timeout_s` for what is under way; returns how many are left."""

    def close(self, timeout_s: float) -> object:
        """Wait up to `timeout_s` for what is under way, then end; idempotent."""


class DoorbellSender(Protocol):
    """Rings at the queues of models. Safe to call from several threads."""

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        """Put each doorbell into the queue of its model, in this order; blocks.

        Raises:
            DoorbellFailed: the broker did not take one; those before it were taken.
        """

    def know(self, models: Sequence[ModelSettings]) -> None:
        """Ring for these models, too: the configuration was read again."""

    def waiting(self, queue: str) -> int:
        """How many doorbells lie in a queue, over all classes; blocks.

        Raises:
            DoorbellFailed: the broker cannot be reached.
        """
