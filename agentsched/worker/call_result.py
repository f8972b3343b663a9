"""What a worker hands in for one request: reply bytes and facts for the statistics.

Pure. Only failed replies are made from errors, and they repeat no content.
"""

from dataclasses import dataclass, field, replace

from agentsched.errors import CallFailed, ErrorCode
from agentsched.ledger.turns import Taken
from agentsched.ledger.values import CallOutcome
from agentsched.protocols import Completion
from agentsched.types import (
    Message,
    Priority,
    Reply,
    ReplyError,
    ReplyTiming,
    TaskStatus,
)
from agentsched.wire.codec import Identity, decode_message, encode_message
from agentsched.wire.replies import failed_reply, reply_to
from agentsched.wire.request_facts import RequestFacts
from agentsched.wire.terminal_errors import CANCELLED


@dataclass(frozen=True, slots=True)
class Job:
    """One request that was taken."""

    facts: RequestFacts
    request: Message
    model: str
    endpoint: str
    attempt: int
    queued_s: float
    deadline: float
    """On this process's monotonic clock, in seconds."""
    asked_at: float
    """When the turn that took it was sent, on the same clock."""
    payload_hash: str
    """Of the request's value: the reply names it."""

    @classmethod
    def of(cls, taken: Taken, asked_at: float) -> "Job":
        """Read all but the request itself.

        Args:
            taken: what a turn gave.
            asked_at: time of the process's clock before the turn was sent that had this
                answer: the first time, or again. The answer was on the way, so counting
                from then never ends after the deadline.
        """
        return cls(
            facts=taken.facts,
            request=Message(),
            model=taken.model,
            endpoint=taken.endpoint,
            attempt=taken.attempt,
            queued_s=taken.queued_ms / 1000,
            deadline=asked_at + taken.time_left_ms / 1000,
            asked_at=asked_at,
            payload_hash=taken.payload_hash,
        )

    def opened(self, payload: bytes) -> "Job":
        """Return it with its request.

        Raises:
            CodecError: the payload is no request.
        """
        request = decode_message(payload)
        # It may state none, or a higher one than its agent may use.
        request = request.model_copy(update={"priority": Priority(self.facts.cls)})
        return replace(self, request=request)

    @property
    def identity(self) -> Identity:
        """Who asked what."""
        return Identity(self.facts.agent_id, self.facts.correlation_id)

    def time_left_s(self, now_s: float) -> float:
        """Return the seconds until the deadline; 0 when it has passed."""
        return max(0.0, self.deadline - now_s)


@dataclass(frozen=True, slots=True)
class CallResult:
    """What `complete` takes, and what the log says of it."""

    value: bytes = field(repr=False)
    outcome: CallOutcome
    code: str = ""
    """The error code; empty for an answer of the model."""


def completed_result(job: Job, completion: Completion, max_bytes: int) -> CallResult:
    """Make the reply that carries the model's answer, or says that it is too large.

    Args:
        job: the request.
        completion: what the model answered.
        max_bytes: the largest reply value.
    """
    value = encode_message(_completed_reply(job, completion))
    if len(value) > max_bytes and completion.reasoning:
        # What it thought may be ten times what it says: only that is left out.
        return completed_result(job, replace(completion, reasoning=None), max_bytes)
    if len(value) > max_bytes:
        error = CallFailed(
            ErrorCode.REPLY_TOO_LARGE,
            f"the reply has {len(value)} bytes, the limit is {max_bytes};"
            " ask for fewer tokens (params.max_tokens)",
            retryable=False,
        )
        error.resent = completion.resent
        return failed_result(job, error, model_s=completion.model_s)
    return CallResult(value, CallOutcome(ok=True, model_ms=_ms(completion.model_s)))


def failed_result(job: Job, error: CallFailed, *, model_s: float | None) -> CallResult:
    """Make the reply that says why there is no answer.

    Args:
        job: the request.
        error: the reason.
        model_s: how long the call took; None when none was made.
    """
    said = ReplyError(code=error.code, message=error.detail, retryable=error.retryable)
    return _failed(job, said, model_s=model_s, resent=error.resent)


def _failed(
    job: Job, error: ReplyError, *, model_s: float | None, resent: int = 0
) -> CallResult:
    value = failed_reply(
        job.request,
        job.identity,
        error,
        attempts=job.attempt + resent,
        timing=ReplyTiming(queued_s=job.queued_s, model_s=model_s or 0.0),
        model_id=job.model,
    )
    called = model_s is not None
    outcome = CallOutcome(ok=False, model_ms=_ms(model_s or 0.0), called=called)
    return CallResult(value, outcome, error.code)


def cancelled_result(job: Job, *, model_s: float | None) -> CallResult:
    """Make the reply of a request that was cancelled before or in its call."""
    return _failed(job, CANCELLED, model_s=model_s)


def misplaced_result(job: Job) -> CallResult:
    """Make the reply of a request for an endpoint that this worker does not know."""
    error = CallFailed(
        ErrorCode.MODEL_MISCONFIGURED,
        f"the worker's configuration has no such endpoint of {job.model!r}; give"
        " bridges and workers the same file",
        retryable=True,
    )
    return failed_result(job, error, model_s=None)


def _completed_reply(job: Job, completion: Completion) -> Reply:
    return reply_to(
        job.request,
        job.identity,
        content=completion.content,
        token_count=completion.completion_tokens,
        model_id=job.model,
        status=TaskStatus.COMPLETED,
        usage=completion.usage,
        finish_reason=completion.finish_reason,
        tool_calls=completion.tool_calls,
        function_call=completion.function_call,
        reasoning=completion.reasoning,
        attempts=job.attempt + completion.resent,
        timing=ReplyTiming(queued_s=job.queued_s, model_s=completion.model_s),
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
