"""The agents' side: for every record that is sent one real client waits for its reply.

Each sees the reply topic from when it sent its request on, as `AgentClient` does.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from agentsched.client.errors import RequestConflict, RequestFailed
from agentsched.client.pending_requests import Outstanding, Waiting
from agentsched.client.reply_thread import ReplyThread
from agentsched.client.request_record import Outgoing
from agentsched.wire.codec import Identity
from agentsched.wire.records import InboundRecord, OutboundRecord
from tests.simulation.plan import AGENT, Submission

TIMEOUT_S = 600.0


class SimClients:
    """Who waits, and what each was handed.

    Args:
        blame: notes a broken promise.
        outstanding: the real one; a mutation puts a broken one in its place.
    """

    def __init__(
        self, blame: Callable[..., None], outstanding: type[Outstanding]
    ) -> None:
        self._blame = blame
        self._outstanding = outstanding
        self._waiting: dict[str, list[_Client]] = defaultdict(list)

    def sent(self, submission: Submission, record: OutboundRecord) -> None:
        """Let somebody wait for the reply to a record."""
        name = submission.correlation_id
        self._waiting[name].append(_Client(submission, record, self._outstanding()))

    def read(self, record: InboundRecord) -> None:
        """Show a record of the reply topic to all whom its ids concern."""
        name = record.headers["correlation_id"]
        clients = self._waiting[name]
        for client in clients:
            client.take(record)
        for client in clients:
            if client.waiting.future.done():
                self._check(client)
        self._waiting[name] = [one for one in clients if not one.waiting.future.done()]

    def _check(self, client: "_Client") -> None:
        error: Any = client.waiting.future.exception()
        label = client.submission.label
        if isinstance(error, RequestConflict):
            return  # whether it is one is asked where the record is looked at
        reply = error.reply if isinstance(error, RequestFailed) else None
        reply = reply or client.waiting.future.result()
        if reply.id != label:
            self._blame("a client is handed the reply to another request", label)

    def waiting(self, name: str) -> list[Submission]:
        """Return whose clients were told nothing yet, of those who used this id."""
        return [client.submission for client in self._waiting[name]]


class _Client:
    def __init__(
        self, submission: Submission, record: OutboundRecord, outstanding: Outstanding
    ) -> None:
        self.submission = submission
        identity = Identity(AGENT, submission.correlation_id)
        outgoing = Outgoing(identity, record, TIMEOUT_S)
        self.waiting: Waiting = outstanding.add(outgoing, since_s=0.0)
        # Never started: the records are put into its hands.
        self._thread = ReplyThread(None, outstanding, None)  # type: ignore[arg-type]

    def take(self, record: InboundRecord) -> None:
        self._thread._take(record)
