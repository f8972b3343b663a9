"""The wire types that agents see: requests, replies and their vocabularies.

Unknown fields of a record are ignored, so that versions can differ while a
system is upgraded.
"""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_AGENT_ID = "default"
TOKENS_MOST = 1_000_000_000
"""More than any model reads; a larger count is a mistake."""


class Priority(StrEnum):
    """The class of a request; `high` runs first."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class TaskType(StrEnum):
    """What a request asks for; a model may serve some of them only."""

    TEXT_GENERATION = "text_generation"
    IMAGE_ANALYSIS = "image_analysis"
    DATA_PROCESSING = "data_processing"


class TaskStatus(StrEnum):
    """Both are terminal; a request carries none."""

    COMPLETED = "completed"
    FAILED = "failed"


class ReplyError(BaseModel):
    """Why a reply is `failed`."""

    model_config = ConfigDict(frozen=True)

    code: str
    """One of `agentsched.errors.ErrorCode`."""
    message: str
    """A sentence for a person; it never repeats the prompt."""
    retryable: bool = False
    """Whether sending the same request again (with a new id) may help."""


class ReplyTiming(BaseModel):
    """Where the time of a request went, in seconds."""

    model_config = ConfigDict(frozen=True)

    queued_s: float = 0.0
    """From the broker's append time to the start of the (last) call."""
    model_s: float = 0.0
    """The (last) call itself."""


class Message(BaseModel):
    """A request, as an agent puts it on an input topic."""

    model_config = ConfigDict(extra="ignore")

    id: str | None = None
    """The caller's own label; echoed, and the identity where `correlation_id` is missing."""
    task_type: TaskType = TaskType.TEXT_GENERATION
    priority: Priority | None = None
    """None: the input topic decides."""
    content: str | list[dict[str, Any]] | None = None
    """The prompt: text, or OpenAI content parts."""
    token_count: int | None = Field(default=None, ge=0, le=TOKENS_MOST)
    """The caller's estimate of the request's tokens; in a reply the completion tokens."""
    correlation_id: str | None = None
    """With `agent_id` the identity of the request; the reply has it as key and header."""
    model_id: str | None = None
    """None: any model that supports the task type. In a reply: the model that answered."""
    status: TaskStatus | None = None
    agent_id: str | None = None
    agent_group: str | None = None
    messages: list[dict[str, Any]] | None = None
    """OpenAI chat messages, instead of `content`."""
    params: dict[str, Any] | None = None
    """Parameters of the chat completion: temperature, max_tokens, tools, ..."""
    stream: bool | None = None
    ttl_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds from the broker's append time within which an answer is of use."""
    session_id: str | None = None
    reply_topic: str | None = None


class Reply(Message):
    """A terminal reply: the request's own fields, and what came of it."""

    usage: dict[str, Any] | None = None
    finish_reason: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    error: ReplyError | None = None
    attempts: int = 0
    """How often a worker started this request; 1 unless something was lost."""
    timing: ReplyTiming | None = None


class ModelStats(BaseModel):
    """What one model has done since its ledger began."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    current_load: int = 0
    """Requests in flight now."""
    total_processed_tasks: int = 0
    """Requests whose call ended, with an answer or an error."""
    average_processing_time: float = 0.0
    """Mean duration of those calls, in seconds."""
