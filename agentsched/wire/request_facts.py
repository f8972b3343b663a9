"""What scheduling and replying need to know of a request, without its content."""

from dataclasses import dataclass

FACTS_VERSION = 1


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What scheduling and replying need to know of a request, without its content."""

    key: str
    """32 hex digits: the hash of the identity."""
    agent_id: str
    correlation_id: str
    group: str
    """The agent group: who will share a weight; nothing reads it yet."""
    cls: str
    """`high`, `medium` or `low`."""
    models: tuple[str, ...]
    """The models that may answer; one where the request or its agent names it."""
    task_type: str
    tokens: int
    """Estimated tokens of prompt and answer."""
    arrival_ms: int
    """The broker's append time."""
    deadline_ms: int
    topic: str
    partition: int
    offset: int
    source: str
    """Names the partition for the ledger (`topic:topic id:partition`); a topic that
    was deleted and made again is another source."""
    reply_topic: str
    traceparent: str = ""
    """W3C trace context of the request's record, for the model call and the reply; "":
    it has none."""
