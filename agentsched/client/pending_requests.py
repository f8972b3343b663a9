"""Which requests of a client wait for their reply; each future is settled here, once.

First comes wins: a later reply, error or time-out of the same request finds nothing. What
is said of another payload under the same identity settles nothing.
"""

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from agentsched.client.errors import InvalidRequest, RequestConflict, RequestFailed
from agentsched.client.request_record import Outgoing
from agentsched.types import Reply, TaskStatus
from agentsched.wire.codec import Identity, hash_value
from agentsched.wire.conflicts import Conflict


@dataclass(slots=True, eq=False)
class Waiting:
    """One request that has no reply yet."""

    identity: Identity
    payload_hash: str
    """Of its value: a reply to another one is not its own."""
    topic: str
    """Where it was sent: a cancellation follows it there."""
    future: "Future[Reply]"
    timeout_s: float
    until_s: float
    """On the monotonic clock."""
    saw_another: bool = False
    """A reply to another payload under its identity came."""

    def is_meant(self, payload_hash: str | None) -> bool:
        """Whether a reply that names this payload, or (None) none, is its own.

        Only workers and bridges of older versions name none.
        """
        return payload_hash in (None, self.payload_hash)


class Outstanding:
    """The requests that wait, by identity. Safe to use from several threads.

    No future is settled under the lock: its callbacks may come back in here.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[Identity, Waiting] = {}
        self._next_s = math.inf
        """No time-out is over before."""

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def add(self, request: Outgoing, since_s: float) -> Waiting:
        """Wait for the reply to a request, whose time-out began at `since_s`.

        Raises:
            InvalidRequest: one with this identity waits already.
        """
        identity, timeout_s = request.identity, request.timeout_s
        one = Waiting(
            identity,
            hash_value(request.record.value or b""),
            request.record.topic,
            Future(),
            timeout_s,
            since_s + timeout_s,
        )
        with self._changed:
            if identity in self._waiting:
                raise InvalidRequest(
                    "a request with this correlation_id is outstanding already",
                    identity.correlation_id,
                )
            self._waiting[identity] = one
            self._next_s = min(self._next_s, one.until_s)
        # A caller who cancels the future waits no more.
        one.future.add_done_callback(lambda _: self._remove(one))
        return one

    def all(self) -> list[Waiting]:
        """Return those that wait; takes no lock."""
        return list(self._waiting.values())

    def get(self, identity: Identity) -> Waiting | None:
        """Return the request of this identity, if it waits."""
        return self._waiting.get(identity)

    def is_waiting(self, identity: Identity) -> bool:
        """Whether a reply to this request is of interest."""
        return identity in self._waiting

    def answer(
        self, identity: Identity, reply: Reply, payload_hash: str | None = None
    ) -> None:
        """Settle the request that this replies to, if it waits.

        Args:
            identity: whose reply it is.
            reply: the reply.
            payload_hash: which payload it answers, as its header says; None: it does not.
        """
        one = self._waiting.get(identity)
        if one is None:
            return
        if not one.is_meant(payload_hash):
            # Its own may still come, or the word that there will be none.
            one.saw_another = True
            return
        if not self._remove(one):
            return
        if not one.future.set_running_or_notify_cancel():
            return
        if reply.status is TaskStatus.COMPLETED:
            one.future.set_result(reply)
        else:
            one.future.set_exception(RequestFailed(reply))

    def refuse(self, conflict: Conflict) -> None:
        """Settle the request whose payload was refused, if it waits."""
        one = self._waiting.get(conflict.identity)
        if one is not None and one.payload_hash == conflict.payload_hash:
            self.fail(one, RequestConflict(conflict.identity.correlation_id))

    def fail(self, one: Waiting, error: Exception) -> None:
        """Settle a request with an error, if it still waits."""
        if self._remove(one) and one.future.set_running_or_notify_cancel():
            one.future.set_exception(error)

    def fail_overdue(
        self, now_s: float, error_of: Callable[[Waiting], Exception]
    ) -> None:
        """Settle those whose time is over."""
        if now_s < self._next_s:
            return
        with self._changed:
            all_ = list(self._waiting.values())
            self._next_s = min(
                (one.until_s for one in all_ if one.until_s > now_s), default=math.inf
            )
        for one in all_:
            if one.until_s <= now_s:
                self.fail(one, error_of(one))

    def fail_all(self, error_of: Callable[[Waiting], Exception]) -> None:
        """Settle all."""
        with self._changed:
            all_ = list(self._waiting.values())
        for one in all_:
            self.fail(one, error_of(one))

    def wait_until_none(self, timeout_s: float | None) -> bool:
        """Block until none waits; return whether that came within `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout_s)

    def _remove(self, one: Waiting) -> bool:
        """Take it out; False where somebody did before."""
        with self._changed:
            if self._waiting.get(one.identity) is not one:
                return False
            del self._waiting[one.identity]
            if not self._waiting:
                self._changed.notify_all()
            return True
