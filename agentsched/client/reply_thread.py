"""The one thread of a client: reads replies, hands each to its request, ends time-outs.

It never looks into replies of others: the identity in the headers decides, and the hash
of the payload that a reply answers.
"""

import logging
import threading
import time
from functools import partial

from agentsched.client.errors import ClientClosed, ReplyTimeout, RequestNotAccepted
from agentsched.client.pending_limit import Room
from agentsched.client.pending_requests import Outstanding, Waiting
from agentsched.errors import CodecError
from agentsched.kafka.errors import KafkaFailed, PropertiesRefused
from agentsched.kafka.readers.topic_tail import TopicTail
from agentsched.types import DEFAULT_AGENT_ID, Reply
from agentsched.wire.codec import PAYLOAD_HASH, Identity, decode_message
from agentsched.wire.conflicts import read_conflict
from agentsched.wire.records import InboundRecord

POLL_S = 0.1
"""Time-outs are noticed so late at most, and `stop` waits so long."""
OPEN_S = 1.0
PATIENCE_S = 30.0
"""So long Kafka may be silent at the start before callers hear of it; as long as the
producer tries to deliver (`delivery.timeout.ms`)."""

ENDED = "the client's thread has ended, by something that a callback raised"

logger = logging.getLogger(__name__)


class ReplyThread:
    """Settles outstanding requests, from `start` to `stop`.

    Args:
        reader: of the reply topic; used by this thread only.
        outstanding: what waits.
        room: is opened when replies to whatever is sent from then on will be seen.
    """

    def __init__(self, reader: TopicTail, outstanding: Outstanding, room: Room) -> None:
        self._reader = reader
        self._outstanding = outstanding
        self._room = room
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="agentsched-replies", daemon=True
        )

    def start(self) -> None:
        """Begin; once only."""
        self._thread.start()

    def stop(self) -> None:
        """End, and close the reader; blocks for a moment. Idempotent."""
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def forget(self) -> None:
        """In a forked child, where the thread is no more: unless it is what forked."""
        self._stopped = threading.Event()
        self._stopped.set()
        # That one goes on in here: it must not wait for a lock of the parent's.
        self._outstanding = Outstanding()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                if self._open():
                    self._read()
        finally:
            self._reader.close()
            if not self._stopped.is_set():
                # A callback of a caller ended this thread (SystemExit): nobody is to
                # wait for what can no longer be read.
                self._room.close(partial(ClientClosed, f"not sent: {ENDED}"))
                self._outstanding.fail_all(_cut_off)

    def _open(self) -> bool:
        """Find the end of the reply topic; until then nothing is sent."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not self._stopped.is_set():
            try:
                self._reader.open(OPEN_S)
            except KafkaFailed as error:
                hopeless = isinstance(error, PropertiesRefused)
                if hopeless or time.monotonic() > give_up_s:
                    self._room.refuse(partial(RequestNotAccepted, f"not sent: {error}"))
                    give_up_s = time.monotonic() + PATIENCE_S
                self._end_time_outs()
                self._stopped.wait(POLL_S)
                continue
            if missing := self._reader.missing:
                logger.warning("waiting for topic %s to be created", ", ".join(missing))
            self._room.open()
            return True
        return False

    def _read(self) -> None:
        while not self._stopped.is_set():
            try:
                records = self._reader.poll(POLL_S)
            except KafkaFailed as error:
                logger.warning("%s: opening it anew", error)
                self._reader.close()
                return
            for record in records:
                if self._stopped.is_set():
                    return
                self._take(record)
            self._end_time_outs()

    def _take(self, record: InboundRecord) -> None:
        if (conflict := read_conflict(record.headers)) is not None:
            self._outstanding.refuse(conflict)
        if self._is_anothers(record):
            return
        where = f"{record.topic}[{record.partition}]@{record.offset}"
        try:
            reply = decode_message(record.value or b"")
        except CodecError as error:
            logger.warning("skipped %s, which is no reply: %s", where, error.detail)
            return
        if isinstance(reply, Reply) and reply.correlation_id:
            identity = Identity(
                reply.agent_id or DEFAULT_AGENT_ID, reply.correlation_id
            )
            payload_hash = record.headers.get(PAYLOAD_HASH)
            self._outstanding.answer(identity, reply, payload_hash)

    def _is_anothers(self, record: InboundRecord) -> bool:
        """Most replies of a shared topic are not ours: those are not even decoded."""
        headers = record.headers
        if "kind" in headers:
            return True  # a part of a reply, or a conflict
        if not headers.get("agent_id") or not headers.get("correlation_id"):
            return False  # the body will tell
        identity = Identity(headers["agent_id"], headers["correlation_id"])
        return not self._outstanding.is_waiting(identity)

    def _end_time_outs(self) -> None:
        self._outstanding.fail_overdue(time.monotonic(), self._timeout)

    def _timeout(self, one: Waiting) -> ReplyTimeout:
        problem = self._reader.problem
        hint = f"; replies cannot be read: {problem}" if problem else ""
        if one.saw_another:
            hint = f"; a reply came to another request of this id{hint}"
        return ReplyTimeout(
            f"no reply to {one.identity.correlation_id} within {one.timeout_s:g} s;"
            f" it may still come{hint}",
            one.identity.correlation_id,
        )


def _cut_off(one: Waiting) -> ClientClosed:
    return ClientClosed(ENDED, one.identity.correlation_id)
