"""A caller's arguments -> the record that is sent; pure but for the made-up id.

What leaves here is what a bridge accepts: it is checked with the bridge's own decoder.
"""

import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from agentsched.client.errors import InvalidRequest
from agentsched.config.settings import DEFAULT_INPUT_TOPICS
from agentsched.errors import CodecError
from agentsched.types import (
    DEFAULT_AGENT_ID,
    Message,
    Priority,
    TaskType,
    label_problem,
)
from agentsched.wire.codec import Identity, decode_request, encode_message
from agentsched.wire.records import InboundRecord, OutboundRecord
from agentsched.wire.topic_class import topic_of_class

BEYOND_TTL_S = 60.0
"""The deadline's own reply may take 30 s of grace, and its way."""
DEFAULT_TIMEOUT_S = 600.0 + BEYOND_TTL_S
"""With the default of `limits.ttl_s`."""

Content = str | list[dict[str, Any]] | Message | None


class RequestOptions(TypedDict, total=False):
    """What a request may say beside its content; all of it is optional."""

    timeout_s: float
    """How long to wait for the reply, above 0. Default: `ttl_s` + 60, or the client's."""
    traceparent: str
    """W3C trace context, sent as a header."""
    id: str
    """Your own label; the reply repeats it."""
    task_type: TaskType | str
    priority: Priority | str
    """The class: high, medium (the default) or low."""
    token_count: int
    """Your estimate of the prompt's tokens; not active yet."""
    correlation_id: str
    """Names the request, together with the agent. Default: a new UUID."""
    model_id: str
    agent_id: str
    """Default: the client's."""
    agent_group: str
    """Who will share weight and limits; not active yet. The reply repeats it."""
    messages: list[dict[str, Any]]
    """OpenAI chat messages, instead of the content."""
    params: dict[str, Any]
    """Of the chat completion: temperature, max_tokens, tools, ..."""
    ttl_s: float
    """Seconds within which an answer is of use. Default: `timeout_s`, where given."""
    session_id: str


@dataclass(frozen=True, slots=True)
class Sender:
    """What all requests of one client have in common."""

    agent_id: str = DEFAULT_AGENT_ID
    input_topics: Sequence[str] = DEFAULT_INPUT_TOPICS
    reply_topic: str = "results"
    request_max_bytes: int = 1_048_576
    timeout_s: float = DEFAULT_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request on its way."""

    identity: Identity
    record: OutboundRecord
    timeout_s: float

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return len(self.record.value or b"")


def outgoing(sender: Sender, content: Content, options: Mapping[str, Any]) -> Outgoing:
    """Make the record of a request.

    Args:
        sender: who sends it.
        content: the prompt, or a whole message.
        options: see `RequestOptions`; they win over the fields of a message.

    Raises:
        TypeError: an option that is none.
        InvalidRequest: a field is wrong, or the whole is too large; without content.
    """
    if unknown := options.keys() - RequestOptions.__annotations__.keys():
        raise TypeError(f"no such option of a request: {', '.join(sorted(unknown))}")
    timeout_s = options.get("timeout_s")
    if timeout_s is not None:
        timeout_s = checked_timeout_s(timeout_s)
    try:
        value = encode_message(_fields(sender, content, options), "strict")
        record = InboundRecord("", 0, 0, 0, value)
        message, identity = decode_request(record, sender.request_max_bytes)
    except CodecError as error:
        raise InvalidRequest(f"this is no request: {error.detail}") from None
    except UnicodeEncodeError:
        raise InvalidRequest(
            "this is no request: half of a surrogate pair is not text"
        ) from None
    except (TypeError, ValueError, RecursionError):
        raise InvalidRequest("this is no request: a field is not JSON") from None
    if timeout_s is None:
        timeout_s = message.ttl_s + BEYOND_TTL_S if message.ttl_s else sender.timeout_s
        timeout_s = min(timeout_s, threading.TIMEOUT_MAX)
    cls = message.priority or Priority.MEDIUM
    return Outgoing(
        identity,
        OutboundRecord(
            topic=topic_of_class(cls, sender.input_topics),
            key=identity.correlation_id,
            value=value,
            headers=_headers(identity, options.get("traceparent")),
        ),
        timeout_s,
    )


def _fields(
    sender: Sender, content: Content, options: Mapping[str, Any]
) -> dict[str, Any]:
    if isinstance(content, Message):
        fields = content.model_dump(mode="json", exclude_none=True)
    else:
        fields = {} if content is None else {"content": content}
    asked = {k: v for k, v in options.items() if v is not None}
    timeout_s = asked.pop("timeout_s", None)
    asked.pop("traceparent", None)
    if timeout_s is not None:
        # Who does not wait any longer does not want to pay for an answer either.
        fields.setdefault("ttl_s", timeout_s)
    defaults = {
        "agent_id": sender.agent_id,
        "priority": Priority.MEDIUM,
        "correlation_id": str(uuid.uuid4()),
    }
    return defaults | fields | asked | {"reply_topic": sender.reply_topic}


def checked_timeout_s(timeout_s: object) -> float:
    """Return how long a caller waits.

    Raises:
        InvalidRequest: it is no number of seconds that a thread can wait.
    """
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float):
        raise InvalidRequest("timeout_s must be a number of seconds")
    if not 0 < timeout_s <= threading.TIMEOUT_MAX:
        raise InvalidRequest(
            f"timeout_s must be above 0 and at most {threading.TIMEOUT_MAX:.0f}"
        )
    return timeout_s


def _headers(identity: Identity, traceparent: object) -> dict[str, str]:
    trace = {} if traceparent is None else {"traceparent": _traceparent(traceparent)}
    return {
        "correlation_id": identity.correlation_id,
        "agent_id": identity.agent_id,
        **trace,
    }


def _traceparent(value: object) -> str:
    problem = label_problem(value) if isinstance(value, str) else "must be text"
    if not isinstance(value, str) or problem:
        raise InvalidRequest(f"traceparent: {problem}")
    return value


def checked_identity(agent_id: object, correlation_id: object) -> Identity:
    """Return the identity of a request that was sent.

    Raises:
        InvalidRequest: no request can have it.
    """
    for name, value in (("agent_id", agent_id), ("correlation_id", correlation_id)):
        problem = label_problem(value) if isinstance(value, str) else "must be text"
        if problem or not value:
            raise InvalidRequest(f"{name}: {problem or 'must not be empty'}")
    return Identity(str(agent_id), str(correlation_id))
