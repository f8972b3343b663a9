"""The client of agents: requests out, each reply to the caller who waits for it.

It decides no order and repeats nothing; what a request may say is in `outgoing`.
"""

import asyncio
import atexit
import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from agentsched.client.errors import ClientClosed, RequestNotAccepted
from agentsched.client.outgoing import (
    BEYOND_TTL_S,
    DEFAULT_TIMEOUT_S,
    Content,
    Outgoing,
    RequestOptions,
    Sender,
    outgoing,
)
from agentsched.client.outstanding import Outstanding, Waiting
from agentsched.client.replies import ReplyThread
from agentsched.client.room import Room
from agentsched.codec import Identity, cancel_record
from agentsched.config.settings import DEFAULT_INPUT_TOPICS, Settings
from agentsched.errors import AgentSchedError
from agentsched.kafka_server.librdkafka import record_size_properties
from agentsched.kafka_server.producer import Producer
from agentsched.kafka_server.topic_reader import TopicReader
from agentsched.types import DEFAULT_AGENT_ID, Reply

if TYPE_CHECKING:
    from concurrent.futures import Future

    from agentsched.kafka_records import RecordAt

UNACKNOWLEDGED_MAX_BYTES = 67_108_864
"""Payloads in memory: those that Kafka has not acknowledged yet, not all outstanding."""
MOST_OUTSTANDING = 100_000
"""What librdkafka queues (`queue.buffering.max.messages`): beyond, sending would block."""
FLUSH_S = 10.0


class AgentClient:
    """Sends requests and hands each caller the reply to its own.

    One for a process: any number of threads and coroutines may use it at once. It has
    one producer and one consumer, which start with the first request, and no thread
    for a call. Of several replies to a request the first one counts.

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
            ValueError: `max_outstanding` or `input_topics` is not as said.
        """
        if not input_topics or not 1 <= max_outstanding <= MOST_OUTSTANDING:
            raise ValueError(
                f"a client needs an input topic, and max_outstanding of 1 to"
                f" {MOST_OUTSTANDING:,}"
            )
        self._sender = Sender(
            agent_id, tuple(input_topics), reply_topic, request_max_bytes, timeout_s
        )
        self._outstanding = Outstanding()
        self._room = Room(max_outstanding, UNACKNOWLEDGED_MAX_BYTES)
        self._producer = Producer(
            bootstrap_servers,
            properties=record_size_properties(request_max_bytes)
            | dict(properties or {}),
        )
        reader = TopicReader(
            bootstrap_servers,
            [reply_topic],
            fetch_wait_ms=fetch_wait_ms,
            properties=properties,
        )
        self._replies = ReplyThread(reader, self._outstanding, self._room)
        self._lock = threading.Lock()
        self._is_started = self._is_closed = False

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
        return len(self._outstanding)

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
        request = outgoing(self._sender, content, options)
        place = self._place(request)
        with self._waiting_for(place, request):
            place.result(request.timeout_s)
        return self._send(request)

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
        request = outgoing(self._sender, content, options)
        place = self._place(request)
        with self._waiting_for(place, request):
            async with asyncio.timeout(request.timeout_s):
                await asyncio.wrap_future(place)
        return await asyncio.wrap_future(self._send(request))

    def cancel(self, correlation_id: str, agent_id: str = "") -> "Future[RecordAt]":
        """Cancel a request, of this client or of another one; does not block.

        It is answered with `CANCELLED`, unless it has its answer already: so whoever
        waits for it gets `RequestFailed`, or the answer. A call that runs is broken off.

        Args:
            correlation_id: as it was submitted.
            agent_id: whose it is; the client's own where it is left out.

        The future is done when Kafka has acknowledged the cancellation; it fails with
        `agentsched.errors.DeliveryFailed`.
        """
        identity = Identity(agent_id or self._sender.agent_id, correlation_id)
        waiting = self._outstanding.get(identity)
        # The request's own topic is the quickest; any other will do.
        topic = waiting.topic if waiting else self._sender.input_topics[0]
        return self._send_cancel(identity, topic)

    def close(self, timeout_s: float = 0.0) -> None:
        """Take no more; wait up to `timeout_s` for replies; end. Again is harmless.

        What is outstanding then fails with `ClientClosed`. Blocks, for up to 10 s
        more while Kafka has not acknowledged what was sent.
        """
        self._room.close(lambda: ClientClosed("not sent: this client is closed"))
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
        if was_closed:
            return
        # Replies are read to the last; then nobody waits, so that the producer's last
        # reports find nothing; then what is queued is sent, as promised by `submit`.
        try:
            self._outstanding.wait_until_none(timeout_s)
        finally:
            if self._is_started:
                self._replies.stop()
            self._outstanding.fail_all(_closed)
            self._producer.close(FLUSH_S)
            atexit.unregister(self.close)

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

    def _place(self, request: Outgoing) -> "Future[None]":
        self._start()
        return self._room.take(request.size)

    @contextlib.contextmanager
    def _waiting_for(self, place: "Future[None]", request: Outgoing) -> Iterator[None]:
        """Give the place up when the caller does not wait for it any longer."""
        try:
            yield
        except BaseException as error:
            self._room.abandon(place, request.size)
            if not isinstance(error, TimeoutError):
                raise
            why = (
                f"{self.outstanding} requests are outstanding"
                if self._room.is_open
                else "Kafka has not answered yet"
            )
            raise RequestNotAccepted(
                f"not sent within {request.timeout_s:g} s: {why}",
                request.identity.correlation_id,
            ) from None

    def _start(self) -> None:
        with self._lock:
            if self._is_started or self._is_closed:
                return
            self._is_started = True
            self._replies.start()
            # Who forgets close() has its records sent at an orderly exit.
            atexit.register(self.close)

    def _send(self, request: Outgoing) -> "Future[Reply]":
        """Use a place that was given; it is given back when the reply is there."""
        try:
            waiting = self._outstanding.add(request, time.monotonic())
        except AgentSchedError:
            self._room.acknowledged(request.size)
            self._room.leave()
            raise

        def ended(future: "Future[Reply]") -> None:
            self._room.leave()
            if future.cancelled():
                self._send_cancel(waiting.identity, waiting.topic)

        def delivered(sent: "Future[RecordAt]") -> None:
            self._room.acknowledged(request.size)
            if (error := sent.exception()) is not None:
                self._outstanding.fail(waiting, _not_accepted(request, error))

        self._producer.send(request.record).add_done_callback(delivered)
        # Not before it is sent: a cancellation must stand behind its request.
        waiting.future.add_done_callback(ended)
        return waiting.future

    def _send_cancel(self, identity: Identity, topic: str) -> "Future[RecordAt]":
        return self._producer.send(cancel_record(identity, topic))


def _not_accepted(request: Outgoing, error: BaseException) -> RequestNotAccepted:
    failed = RequestNotAccepted(str(error), request.identity.correlation_id)
    failed.__cause__ = error
    return failed


def _closed(one: Waiting) -> ClientClosed:
    return ClientClosed(
        f"the client was closed before the reply to {one.identity.correlation_id} came",
        one.identity.correlation_id,
    )
