"""Sends many requests with a bounded run-ahead, and prints what became of each.

Replies and ids go to stdout, everything else to stderr; it reads no input itself.
"""

import contextlib
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from agentsched.cli.send_input import Asked
from agentsched.cli.send_tally import Tally
from agentsched.client import AgentClient, RequestError, RequestFailed
from agentsched.client.request_record import Sender, outgoing
from agentsched.config.settings import Settings
from agentsched.errors import DeliveryFailed
from agentsched.kafka.librdkafka import producer_properties
from agentsched.kafka.producer import QUEUE_WAIT_S, Producer

if TYPE_CHECKING:
    from concurrent.futures import Future

    from agentsched.types import Reply
    from agentsched.wire.records import RecordAt

DELIVERY_S = 30.0


def ask_all(settings: Settings, requests: Iterable[Asked], run_ahead: int) -> bool:
    """Send requests and print their replies as they come.

    Blocks until each has ended. No more than `run_ahead` are without a reply.

    Returns:
        Whether every one was completed.
    """
    tally = Tally("replies")
    with (
        AgentClient.of(settings, max_outstanding=run_ahead) as client,
        tally.showing(interrupted="they go on without us, and end on the reply topic"),
    ):
        for asked, correlation_id in _sendable(requests, tally):
            if tally.is_output_gone:
                break
            tally.sent(asked.place, correlation_id)
            try:
                future = client.submit(asked.request, correlation_id=correlation_id)
            except RequestError as error:
                tally.failed(asked.place, str(error))
            else:
                future.add_done_callback(partial(_replied, tally, asked.place))
        tally.wait()
        # Nobody reads any more: then the rest is not waited for.
        client.close()
    return tally.is_good


def _replied(tally: Tally, place: int, done: "Future[Reply]") -> None:
    error = done.exception()
    if error is None:
        tally.completed(place, done.result().model_dump_json(exclude_none=True))
        return
    if isinstance(error, RequestFailed):
        tally.print(error.reply.model_dump_json(exclude_none=True))
    tally.failed(place, str(error))


def post_all(settings: Settings, requests: Iterable[Asked], run_ahead: int) -> bool:
    """Send requests and print their ids once Kafka has acknowledged them.

    Blocks until each is acknowledged or failed. No more than `run_ahead` are neither.

    Returns:
        Whether every one was acknowledged.
    """
    kafka, limits = settings.kafka, settings.limits
    sender = Sender(
        input_topics=kafka.input_topics,
        reply_topic=kafka.output_topic,
        request_max_bytes=limits.request_max_bytes,
    )
    keys = producer_properties(
        kafka, delivery_timeout_s=DELIVERY_S, value_max_bytes=limits.request_max_bytes
    )
    producer = Producer(kafka.bootstrap_servers, properties=keys)
    tally = Tally("accepted")
    posted: deque[_Posted] = deque()
    with (
        contextlib.closing(producer),
        tally.showing(interrupted="Kafka may have them, or not"),
    ):
        for asked, correlation_id in _sendable(requests, tally):
            if tally.is_output_gone:
                break
            tally.sent(asked.place, correlation_id)
            options = {"correlation_id": correlation_id}
            try:
                record = outgoing(sender, asked.request, options).record
            except RequestError as error:
                tally.failed(asked.place, str(error))
                continue
            posted.append(
                _Posted(
                    asked.place,
                    correlation_id,
                    producer.send(record, wait_s=QUEUE_WAIT_S),
                )
            )
            while posted and (posted[0].future.done() or len(posted) >= run_ahead):
                _acknowledged(tally, posted.popleft())
        while posted:
            _acknowledged(tally, posted.popleft())
    return tally.is_good


class _Posted(NamedTuple):
    place: int
    correlation_id: str
    future: "Future[RecordAt]"


def _acknowledged(tally: Tally, one: _Posted) -> None:
    try:
        one.future.result()
    except DeliveryFailed as error:
        tally.failed(one.place, str(error))
    else:
        tally.completed(one.place, one.correlation_id)


def _sendable(requests: Iterable[Asked], tally: Tally) -> Iterator[tuple[Asked, str]]:
    """Return the requests, each with its correlation id; the rest has failed."""
    for asked in requests:
        if asked.request is None:
            tally.failed(asked.place, asked.problem)
        else:
            yield asked, asked.request.correlation_id or str(uuid.uuid4())
