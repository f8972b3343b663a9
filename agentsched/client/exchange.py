"""The way of requests to Kafka and of their replies back, with its start and its end.

Nothing runs before the first request. It decides neither what a request says nor
whether its caller is a thread or a coroutine.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from agentsched import forks
from agentsched.client.errors import ClientClosed, RequestNotAccepted
from agentsched.client.pending_limit import Room
from agentsched.client.pending_requests import Outstanding, Waiting
from agentsched.client.reply_thread import ReplyThread
from agentsched.client.request_record import Outgoing
from agentsched.errors import AgentSchedError
from agentsched.kafka.producer import Producer
from agentsched.kafka.readers.topic_tail import TopicTail
from agentsched.wire.codec import Identity, cancel_record

if TYPE_CHECKING:
    from concurrent.futures import Future

    from agentsched.types import Reply
    from agentsched.wire.records import RecordAt

MAX_UNACKNOWLEDGED_BYTES = 67_108_864
"""Payloads in memory: those that Kafka has not acknowledged yet, not all outstanding."""
FLUSH_S = 10.0


class Exchange:
    """Sends requests, each from a place of its own. Safe to use from several threads.

    Args:
        producer: writes requests and cancellations.
        reader: of the reply topic.
        max_outstanding: how many places there are.
    """

    def __init__(
        self, producer: Producer, reader: TopicTail, max_outstanding: int
    ) -> None:
        self._producer = producer
        self._reader = reader
        self._max_outstanding = max_outstanding
        self._is_closed = False
        self._begin()
        forks.in_child(self, Exchange._begin_anew)

    def _begin(self) -> None:
        self._outstanding = Outstanding()
        self._room = Room(self._max_outstanding, MAX_UNACKNOWLEDGED_BYTES)
        self._replies = ReplyThread(self._reader, self._outstanding, self._room)
        self._lock = threading.Lock()
        self._is_started = False
        self._take_back_exit: Callable[[], None] | None = None

    def _begin_anew(self) -> None:
        """In a forked child; see `agentsched.forks`. Producer and reader do it, too."""
        self._replies.forget()
        if self._take_back_exit:
            self._take_back_exit()
        outstanding = self._outstanding
        self._begin()
        if self._is_closed:
            self._room.close(_not_sent)
        for one in outstanding.all():
            forks.settle([one.future], partial(_of_the_parent, one))

    def __len__(self) -> int:
        """How many requests are outstanding."""
        return len(self._outstanding)

    def take_place(self, request: Outgoing) -> "Future[None]":
        """Ask for a place, to be awaited within `waiting_for`; does not block."""
        self._start()
        return self._room.take(request.size)

    @contextlib.contextmanager
    def waiting_for(self, place: "Future[None]", request: Outgoing) -> Iterator[None]:
        """Give the place up when its caller does not wait for it any longer.

        Raises:
            RequestNotAccepted: instead of TimeoutError.
        """
        try:
            yield
        except BaseException as error:
            self._room.abandon(place, request.size)
            if not isinstance(error, TimeoutError):
                raise
            why = (
                f"{len(self)} requests are outstanding"
                if self._room.is_open
                else "Kafka has not answered yet"
            )
            raise RequestNotAccepted(
                f"not sent within {request.timeout_s:g} s: {why}",
                request.identity.correlation_id,
            ) from None

    def send(self, request: Outgoing, since_s: float) -> "Future[Reply]":
        """Use a place that was given; it is given back when the request has ended.

        Args:
            request: what is sent.
            since_s: when its time-out began, on the monotonic clock.

        Raises:
            InvalidRequest: its identity is outstanding already.
        """
        try:
            waiting = self._outstanding.add(request, since_s)
        except AgentSchedError:
            self._room.acknowledged(request.size)
            self._room.leave()
            raise
        sent = self._producer.send(request.record)
        sent.add_done_callback(partial(self._delivered, request, waiting))
        # Not before it is sent: a cancellation must stand behind its request.
        waiting.future.add_done_callback(partial(self._ended, waiting))
        return waiting.future

    def cancel(self, identity: Identity, any_topic: str) -> "Future[RecordAt]":
        """Have a request cancelled; its own topic is the quickest, if it is ours."""
        waiting = self._outstanding.get(identity)
        topic = waiting.topic if waiting else any_topic
        return self._producer.send(cancel_record(identity, topic))

    def close(self, timeout_s: float) -> None:
        """Take no more, wait up to `timeout_s` for replies, end. Idempotent."""
        self._room.close(_not_sent)
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
        if was_closed:
            return
        try:
            self._outstanding.wait_until_none(timeout_s)
        finally:
            # Replies are read to the last. Then nobody waits, so that the last reports
            # of deliveries find nothing; then what is queued is sent, as promised.
            if self._is_started:
                self._replies.stop()
            self._outstanding.fail_all(_closed)
            self._producer.close(FLUSH_S)
            # Whoever had a place and was about to send.
            self._outstanding.fail_all(_closed)
            if self._take_back_exit:
                self._take_back_exit()

    def _start(self) -> None:
        with self._lock:
            if self._is_started or self._is_closed:
                return
            self._is_started = True
            self._replies.start()
            # Who forgets close() has its records sent at an orderly exit.
            self._take_back_exit = forks.at_exit(self._close_at_exit)

    def _close_at_exit(self) -> None:
        self.close(0.0)

    def _delivered(
        self, request: Outgoing, waiting: Waiting, sent: "Future[RecordAt]"
    ) -> None:
        self._room.acknowledged(request.size)
        if (error := sent.exception()) is not None:
            failed = RequestNotAccepted(str(error), request.identity.correlation_id)
            failed.__cause__ = error
            self._outstanding.fail(waiting, failed)

    def _ended(self, waiting: Waiting, future: "Future[Reply]") -> None:
        self._room.leave()
        if future.cancelled():
            self._producer.send(cancel_record(waiting.identity, waiting.topic))


def _not_sent() -> ClientClosed:
    return ClientClosed("not sent: this client is closed")


def _of_the_parent(one: Waiting) -> ClientClosed:
    return ClientClosed(
        f"the reply to {one.identity.correlation_id} goes to the parent process, which"
        " sent it before this one was forked",
        one.identity.correlation_id,
    )


def _closed(one: Waiting) -> ClientClosed:
    return ClientClosed(
        f"the client was closed before the reply to {one.identity.correlation_id} came",
        one.identity.correlation_id,
    )
