"""Owns the errors of requests that end without a model's answer; plain values."""

from agentsched.errors import ErrorCode
from agentsched.types import ReplyError

OVERDUE = ReplyError(
    code=ErrorCode.DEADLINE_EXCEEDED,
    message="the time to live was over before the request could start",
    retryable=True,
)
CANCELLED = ReplyError(
    code=ErrorCode.CANCELLED, message="the request was cancelled", retryable=False
)
BLOCKED = ReplyError(
    code=ErrorCode.AGENT_BLOCKED,
    message="the agent is blocked: ask those who run this system",
    retryable=False,
)
POISON = ReplyError(
    code=ErrorCode.POISON,
    message="the request ended the process that ran it, several times, also alone",
    retryable=False,
)
MODEL_REMOVED = ReplyError(
    code=ErrorCode.MODEL_REMOVED,
    message="no model that could answer is configured any more",
    retryable=False,
)
REPLY_EXPIRED = ReplyError(
    code=ErrorCode.REPLY_EXPIRED,
    message="this request was answered before, and Kafka no longer has the reply",
    retryable=False,
)
