"""The error tree, and nothing else; it imports nothing.

::

    AgentSchedError
    +-- ConfigurationError        a setting is wrong: says the file, the key and the fix
    +-- CodecError                bytes that are no valid record of ours
    +-- LedgerError
    |   +-- EpochChanged          Redis was emptied or replaced: re-read the epoch
    |   +-- LedgerUnavailable     Redis cannot be reached now: try again later
    |   +-- NewerFormat           a newer version wrote what this process cannot read
    +-- CallFailed                one attempt of an LLM call did not give an answer
    +-- DeliveryFailed            Kafka did not acknowledge a record of ours
    +-- DoorbellFailed            Celery's broker did not take a doorbell
    +-- EmbeddedError             a part of the local stack did not start

`ErrorCode` lists the codes that a failed reply or a dead letter may carry.
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    """Why a reply is `failed`, or why a record became a dead letter."""

    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    """The time to live was over before an answer was there."""
    MODEL_UNAVAILABLE = "MODEL_UNAVAILABLE"
    """The model server could not be reached, or refused for now."""
    MODEL_REJECTED = "MODEL_REJECTED"
    """The model server refused this request; the same request fails again."""
    MODEL_MISCONFIGURED = "MODEL_MISCONFIGURED"
    """The model server refused our key or does not know the model."""
    UPSTREAM_INVALID = "UPSTREAM_INVALID"
    """The model server answered with something that is no chat completion."""
    REPLY_TOO_LARGE = "REPLY_TOO_LARGE"
    """The answer is larger than `limits.reply_max_bytes`, or than the topic takes."""
    UNKNOWN_MODEL = "UNKNOWN_MODEL"
    """The request names a model that the configuration does not have."""
    MODEL_REMOVED = "MODEL_REMOVED"
    """The models that could answer were taken out of the configuration meanwhile."""
    NO_MODEL_FOR_TASK = "NO_MODEL_FOR_TASK"
    """No configured model supports the request's task type."""
    EMPTY_CONTENT = "EMPTY_CONTENT"
    """The request has neither `content` nor `messages`, or they are empty."""
    AGENT_BLOCKED = "AGENT_BLOCKED"
    """The agent is blocked, by the configuration or by `agentsched block`."""
    CANCELLED = "CANCELLED"
    """Somebody cancelled the request: its agent, or an operator by `celery revoke`."""
    TIME_LIMIT_EXCEEDED = "TIME_LIMIT_EXCEEDED"
    """The call ran into the worker's `--time-limit` or `--soft-time-limit`."""
    POISON = "POISON"
    """The request ended the process that ran it, several times, also on its own."""
    REPLY_TOPIC_NOT_ALLOWED = "REPLY_TOPIC_NOT_ALLOWED"
    """The request names a reply topic that the configuration does not allow."""
    REPLY_EXPIRED = "REPLY_EXPIRED"
    """The agent sent a request again whose reply Kafka no longer keeps."""
    INVALID_REQUEST = "INVALID_REQUEST"
    """The request says whose it is, but a field is wrong; the message says which."""
    MALFORMED = "MALFORMED"
    """Dead letter: the record is no JSON object, or its ids are of no use."""
    TOO_LARGE = "TOO_LARGE"
    """Dead letter: the record is larger than `limits.request_max_bytes`."""
    MISSING_IDENTITY = "MISSING_IDENTITY"
    """Dead letter: neither `correlation_id` nor `id`, so no reply could be matched."""
    CONFLICT = "CONFLICT"
    """Dead letter: another payload already has this identity."""


class AgentSchedError(Exception):
    """Everything that AgentSched itself raises."""


class ConfigurationError(AgentSchedError):
    """A setting is missing, unknown or contradicts another."""


class CodecError(AgentSchedError):
    """A record's bytes are not what the wire format says.

    Attributes:
        code: the reason, as a dead letter states it.
        detail: one sentence without any content of the record.
    """

    def __init__(self, code: ErrorCode, detail: str) -> None:
        """Keep the reason beside the sentence."""
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class LedgerError(AgentSchedError):
    """A step of the ledger could not be carried out."""


class EpochChanged(LedgerError):  # noqa: N818  (names the event; it is no fault of the caller)
    """The epoch is missing or another one: what was known of Redis is void."""


class LedgerUnavailable(LedgerError):  # noqa: N818
    """Redis did not answer; the step may or may not have happened. Repeat it."""


class NewerFormat(LedgerError):  # noqa: N818
    """A newer version of AgentSched wrote what this one cannot read: upgrade this one.

    Nothing was done. It does not pass by itself.
    """


class CallFailed(AgentSchedError):  # noqa: N818
    """One attempt of an LLM call ended without an answer.

    Attributes:
        code: the code of the failed reply.
        detail: one sentence; never the prompt, the answer or a key.
        retryable: whether the same request may succeed later.
        resent: how often it was sent again because a kept connection proved stale.
    """

    def __init__(self, code: ErrorCode, detail: str, *, retryable: bool) -> None:
        """Keep what the failed reply needs."""
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retryable = retryable
        self.resent = 0


class DeliveryFailed(AgentSchedError):  # noqa: N818
    """Kafka did not acknowledge a record in time; it may still arrive.

    Attributes:
        forbidden: Kafka refused it: our user has no right to write there.
        too_large: Kafka refused it for its size, and will again.
        no_topic: Kafka has no topic of that name, and makes none.
    """

    forbidden = False
    too_large = False
    no_topic = False


class DoorbellFailed(AgentSchedError):  # noqa: N818
    """Celery's broker cannot be reached; a doorbell may or may not have got there."""


class EmbeddedError(AgentSchedError):
    """A child of the local stack did not start, or died; the text names its log."""
