"""The wire types that agents see: requests, replies and their vocabularies.

Unknown fields of a record are ignored, so that versions can differ while a
system is upgraded.
"""

import unicodedata
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    field_validator,
)

DEFAULT_AGENT_ID = "default"
MAX_LABEL_CHARACTERS = 512
"""Of an id, a group, a name: they are echoed, logged, and keys in Redis."""
MAX_TOKENS = 1_000_000_000
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


def label_problem(value: str) -> str | None:
    """Return why a text cannot be an id or a name; None when it can.

    Control characters would break logs and terminals; what is no text, or stands for
    bytes that were none, could be told apart by nobody.
    """
    if len(value) > MAX_LABEL_CHARACTERS:
        return f"must be at most {MAX_LABEL_CHARACTERS} characters"
    if not value.isprintable() and any(
        unicodedata.category(each) in _NOT_IN_LABELS for each in value
    ):
        return "must be without control characters and line breaks"
    if "\N{REPLACEMENT CHARACTER}" in value:
        return "must be text in UTF-8"
    return None


_NOT_IN_LABELS = frozenset({"Cc", "Cs", "Zl", "Zp"})


def _check_label(value: str) -> str:
    if (problem := label_problem(value)) is not None:
        raise ValueError(problem)
    return value


Label = Annotated[str, AfterValidator(_check_label)]


def _check_number(value: object) -> object:
    """A number of JSON: to read `true` as 1 and `"30"` as 30 would guess."""
    if isinstance(value, bool | str | bytes):
        kind = "true or false" if isinstance(value, bool) else "text"
        msg = f"must be a number, not {kind}"
        raise ValueError(msg)  # noqa: TRY004  (pydantic wants a ValueError)
    return value


Number = BeforeValidator(_check_number)
Tokens = Annotated[int, Number, Field(ge=0, le=MAX_TOKENS)]
Seconds = Annotated[float, Number, Field(gt=0, allow_inf_nan=False)]


class Message(BaseModel):
    """A request, as an agent puts it on an input topic.

    No field is read as another type than it has in JSON, and case matters.
    """

    model_config = ConfigDict(extra="ignore")

    id: Label | None = None
    """The caller's own label; echoed, and the identity where `correlation_id` is missing."""
    task_type: TaskType = TaskType.TEXT_GENERATION
    priority: Priority | None = None
    """None: the input topic decides."""
    content: str | list[dict[str, Any]] | None = None
    """The prompt: text, or OpenAI content parts."""
    token_count: Tokens | None = None
    """The caller's estimate of the request's tokens (not active yet: the order does not
    depend on it); in a reply the completion tokens."""
    correlation_id: Label | None = None
    """With `agent_id` the identity of the request; the reply has it as key and header."""
    model_id: Label | None = None
    """None: any model that supports the task type. In a reply: the model that answered."""
    status: TaskStatus | None = None
    agent_id: Label | None = None
    agent_group: Label | None = None
    """Who will share weight and limits (not active yet); echoed."""
    messages: list[dict[str, Any]] | None = None
    """OpenAI chat messages, instead of `content`."""
    params: dict[str, Any] | None = None
    """Parameters of the chat completion: temperature, max_tokens, tools, ..."""
    stream: StrictBool | None = None
    ttl_s: Seconds | None = None
    """Seconds from the broker's append time within which an answer is of use."""
    session_id: Label | None = None
    reply_topic: Label | None = None

    @field_validator("task_type", mode="before")
    @classmethod
    def _null_says_nothing(cls, value: object) -> object:
        return TaskType.TEXT_GENERATION if value is None else value

    @field_validator("messages")
    @classmethod
    def _each_has_a_role(
        cls, value: list[dict[str, Any]] | None
    ) -> list[dict[str, Any]] | None:
        """The rest of a message is for the model server to judge."""
        if not all(isinstance(each.get("role"), str) for each in value or ()):
            msg = "each must have a role, such as user"
            raise ValueError(msg)
        return value

    @field_validator("content")
    @classmethod
    def _each_part_has_a_type(
        cls, value: str | list[dict[str, Any]] | None
    ) -> str | list[dict[str, Any]] | None:
        parts = value if isinstance(value, list) else ()
        if not all(isinstance(each.get("type"), str) for each in parts):
            msg = "each part must have a type, such as text or image_url"
            raise ValueError(msg)
        return value


class Reply(Message):
    """A terminal reply: the request's own fields, and what came of it."""

    usage: dict[str, Any] | None = None
    finish_reason: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    function_call: dict[str, Any] | None = None
    """A call in the form that came before `tool_calls` (`params.functions`)."""
    reasoning: str | None = None
    """What the model thought, where the server says that apart from the answer."""
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
