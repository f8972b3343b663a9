"""What agents call: requests out, each reply to the caller who waits for it.

It repeats nothing. What a request may say is in `outgoing`, how it gets there and its
reply back in `exchange`.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from agentsched.client.exchange import Exchange
from agentsched.client.request_record import (
    BEYOND_TTL_S,
    DEFAULT_TIMEOUT_S,
    Content,
    RequestOptions,
    Sender,
    checked_identity,
    checked_timeout_s,
    outgoing,
)
from agentsched.config.settings import DEFAULT_INPUT_TOPICS, Settings
from agentsched.kafka.librdkafka import record_size_properties
from agentsched.kafka.producer import Producer
from agentsched.kafka.producer_input import as_topic
from agentsched.kafka.readers.topic_tail import TopicTail
from agentsched.types import DEFAULT_AGENT_ID, Reply

if TYPE_CHECKING:
    from concurrent.futures import Future

    from agentsched.wire.records import RecordAt

MAX_OUTSTANDING = 100_000
"""What librdkafka queues (`queue.buffering.max.messages`): beyond, a request is not accepted."""


class AgentClient:
    """Sends requests and hands each caller the reply to its own.

    One for a process: any number of threads and coroutines may use it at once. It has
    one producer and one consumer, which start with the first request, and no thread
    for a call. Of several replies to a request the first one counts. A forked child may
    use an instance of its parent, and has a producer and a consumer of its own there;
    what was outstanding at the fork is the parent's, and fails in the child with
    `ClientClosed`.

    Every way to ask takes the same options (`RequestOptions`) and fails in the same
    ways (`agentsched.client.errors`); a reply with status `failed` is an error, too:
    `RequestFailed`, with the reply in it.

    ```
    with AgentClient("localhost:9092") as client:
        print(client.request("How does the internet work?", priority="high").content)
    ```
    """

    def __init__(  # noqa: PLR0913  (plain arguments, all but the first by name)
        self,
        bootstrap_servers: str | Sequence[str] = "localhost:9092",
        *,
        agent_id: str = DEFAULT_AGENT_ID,
        input_topics: Sequence[str] = DEFAULT_INPUT_TOPICS,
        reply_topic: str = "results",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_outstanding: int = 10_000,
        request_max_bytes: int = 1_048_576,
        fetch_wait_ms: int = 100,
        properties: Mapping[str, object] | None = None,
    ) -> None:
        """Keep where Kafka is; nothing is opened before the first request.

        Args:
            bootstrap_servers: `host:port`, several with commas or as a sequence.
            agent_id: of the requests that name none.
            input_topics: as the bridge has them: `*high_priority` and so on, or three
                in the order high, medium, low.
            reply_topic: the bridge's output topic, or one of its reply topics.
            timeout_s: how long to wait for a reply where the request says nothing.
            max_outstanding: requests without a reply, 1 to 100,000; more have to wait
                for a place.
            request_max_bytes: the bridge's limit of the same name.
            fetch_wait_ms: 10 on the embedded broker, which does not wake a fetch.
            properties: more librdkafka keys, such as `security.protocol`.

        Raises:
            ValueError: one of these is not as said.
        """
        if isinstance(input_topics, str):
            input_topics = [input_topics]
        if not input_topics or not 1 <= max_outstanding <= MAX_OUTSTANDING:
            raise ValueError(
                f"a client needs an input topic, and max_outstanding of 1 to"
                f" {MAX_OUTSTANDING:,}"
            )
        for topic in input_topics:
            as_topic(topic)
        checked_timeout_s(timeout_s)
        self._sender = Sender(
            agent_id, tuple(input_topics), reply_topic, request_max_bytes, timeout_s
        )
        producer = Producer(
            bootstrap_servers,
            properties=record_size_properties(request_max_bytes)
            | dict(properties or {}),
        )
        reader = TopicTail(
            bootstrap_servers,
            [reply_topic],
            fetch_wait_ms=fetch_wait_ms,
            properties=properties,
        )
        self._exchange = Exchange(producer, reader, max_outstanding)

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        agent_id: str = DEFAULT_AGENT_ID,
        max_outstanding: int = 10_000,
    ) -> Self:
        """Make a client of the bridge that has these settings (see `load_settings`)."""
        kafka, limits = settings.kafka, settings.limits
        return cls(
            kafka.bootstrap_servers,
            agent_id=agent_id,
            input_topics=kafka.input_topics,
            reply_topic=kafka.output_topic,
            timeout_s=limits.ttl_s + BEYOND_TTL_S,
            max_outstanding=max_outstanding,
            request_max_bytes=limits.request_max_bytes,
            fetch_wait_ms=kafka.fetch_wait_ms,
            properties=kafka.properties,
        )

    @property
    def outstanding(self) -> int:
        """How many requests were sent and have no reply yet."""
        return len(self._exchange)

    def submit(
        self, content: Content = None, /, **options: Unpack[RequestOptions]
    ) -> "Future[Reply]":
        """Send a request; return the future of its reply.

        Blocks while there is no place (`max_outstanding`), and at first until the end
        of the reply topic is known; not for coroutines: those `ask`. Callbacks of the
        future run in the client's thread: keep them short. Cancelling the future
        cancels the request, wherever it is.

        Args:
            content: the prompt, OpenAI content parts, or a whole `Message`.
            options: see `RequestOptions`.

        Raises:
            InvalidRequest: nothing was sent.
            RequestNotAccepted: nothing was sent: Kafka was not reached for 30 s, or
                no place came free within `timeout_s`.
            ClientClosed: after `close`.
        """
        since_s = time.monotonic()
        request = outgoing(self._sender, content, options)
        place = self._exchange.take_place(request)
        with self._exchange.waiting_for(place, request):
            place.result(request.timeout_s)
        return self._exchange.send(request, since_s)

    def request(
        self, content: Content = None, /, **options: Unpack[RequestOptions]
    ) -> Reply:
        """Send a request and wait for its reply; see `submit`.

        Raises:
            RequestError: see `agentsched.client.errors`.
        """
        future = self.submit(content, **options)
        try:
            return future.result()
        finally:
            future.cancel()  # where this thread was interrupted

    async def ask(
        self, content: Content = None, /, **options: Unpack[RequestOptions]
    ) -> Reply:
        """Send a request and wait for its reply without blocking the event loop.

        Cancelling the coroutine cancels the request, wherever it is.

        Raises:
            RequestError: see `agentsched.client.errors`.
        """
        since_s = time.monotonic()
        request = outgoing(self._sender, content, options)
        place = self._exchange.take_place(request)
        with self._exchange.waiting_for(place, request):
            async with asyncio.timeout(request.timeout_s):
                await asyncio.wrap_future(place)
        return await asyncio.wrap_future(self._exchange.send(request, since_s))

    def cancel(self, correlation_id: str, agent_id: str = "") -> "Future[RecordAt]":
        """Cancel a request, of this client or of another one; does not block.

        It is answered with `CANCELLED`, unless it has its answer already: so whoever
        waits for it gets `RequestFailed`, or the answer. A call that runs is broken off.

        Args:
            correlation_id: as it was submitted.
            agent_id: whose it is; the client's own where it is left out.

        The future is done when Kafka has acknowledged the cancellation; it fails with
        `agentsched.errors.DeliveryFailed`.

        Raises:
            InvalidRequest: no request can have such an id.
        """
        identity = checked_identity(agent_id or self._sender.agent_id, correlation_id)
        return self._exchange.cancel(identity, self._sender.input_topics[0])

    def close(self, timeout_s: float = 0.0) -> None:
        """Take no more; wait up to `timeout_s` for replies; end. Idempotent.

        What is outstanding then fails with `ClientClosed`. Blocks, for up to 10 s
        more while Kafka has not acknowledged what was sent.
        """
        self._exchange.close(timeout_s)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close: at once after an error, else when all outstanding have ended."""
        self.close(threading.TIMEOUT_MAX if kind is None else 0.0)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close as `with` does, without blocking the event loop."""
        await asyncio.to_thread(self.__exit__, kind, error, trace)
