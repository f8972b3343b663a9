"""Why a request of the client has no answer; no text repeats a prompt or an answer.

::

    RequestError                  an AgentSchedError
    +-- InvalidRequest            not sent: no bridge could read it (a ValueError)
    +-- RequestNotAccepted        Kafka did not acknowledge it
    +-- RequestFailed             the reply says `failed`
    +-- RequestConflict           its id belongs to another request
    +-- ReplyTimeout              no reply in time (a TimeoutError)
    +-- ClientClosed              the client was closed meanwhile, or before
"""

from agentsched.errors import AgentSchedError, ErrorCode
from agentsched.types import Reply
from agentsched.wire.conflicts import ADVICE


class RequestError(AgentSchedError):
    """A request did not get a completed reply.

    Attributes:
        correlation_id: of the request; empty where it got none.
    """

    def __init__(self, text: str, correlation_id: str = "") -> None:
        super().__init__(text)
        self.correlation_id = correlation_id


class InvalidRequest(RequestError, ValueError):  # noqa: N818  (names the event)
    """The request was not sent: a field is wrong, it is too large, or its id is in use."""


class RequestNotAccepted(RequestError):  # noqa: N818
    """Kafka did not acknowledge the request; it may have arrived all the same.

    To submit the same again, with the same correlation_id, is safe: one of two equal
    requests is run.
    """


class RequestFailed(RequestError):  # noqa: N818
    """The request was answered with `failed`.

    Attributes:
        reply: the whole reply.
        code: one of `agentsched.errors.ErrorCode`.
        retryable: whether the same request, with a new correlation_id, may succeed.
    """

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.code = reply.error.code if reply.error else "UNKNOWN"
        self.retryable = bool(reply.error and reply.error.retryable)
        text = reply.error.message if reply.error else "the reply gives no reason"
        super().__init__(f"{self.code}: {text}", reply.correlation_id or "")


class RequestConflict(RequestError):  # noqa: N818
    """Its (agent_id, correlation_id) belongs to another request: this one is not run.

    The other one has other content or other options (`timeout_s` is one of them), and
    was sent by this process, by another one or by an earlier run. Send it with a new
    correlation_id.

    Attributes:
        code: `CONFLICT`.
    """

    def __init__(self, correlation_id: str) -> None:
        self.code = ErrorCode.CONFLICT
        super().__init__(f"{self.code}: {correlation_id}: {ADVICE}", correlation_id)


class ReplyTimeout(RequestError, TimeoutError):  # noqa: N818
    """Kafka has the request, and no reply came in time; it may still come."""


class ClientClosed(RequestError):  # noqa: N818
    """The client is closed; a request that was outstanding may still be answered."""
