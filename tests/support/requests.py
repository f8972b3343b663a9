"""Small builders for tests: requests, records, settings."""

import json
from typing import Any

from agentsched.config.settings import Settings
from agentsched.wire.records import InboundRecord
from agentsched.wire.request_facts import RequestFacts

ARRIVAL_MS = 1_000_000


def facts(key: str = "k1", **changes: Any) -> RequestFacts:
    """Facts of a request for model `m`, class medium."""
    values: dict[str, Any] = {
        "key": key,
        "agent_id": "agent",
        "correlation_id": f"c-{key}",
        "group": "agent",
        "cls": "medium",
        "models": ("m",),
        "task_type": "text_generation",
        "tokens": 10,
        "arrival_ms": ARRIVAL_MS,
        "deadline_ms": ARRIVAL_MS + 600_000,
        "topic": "medium_priority",
        "partition": 0,
        "offset": 0,
        "source": "medium_priority:t1:0",
        "reply_topic": "results",
    }
    return RequestFacts(**(values | changes))


def record(
    offset: int = 0,
    body: dict[str, Any] | bytes | None = None,
    topic: str = "medium_priority",
    **changes: Any,
) -> InboundRecord:
    """A record on an input topic; `body` over a small valid request."""
    if isinstance(body, bytes):
        value = body
    else:
        fields = {"id": f"id-{offset}", "content": "hello"} | (body or {})
        value = json.dumps(fields).encode()
    values: dict[str, Any] = {
        "topic": topic,
        "partition": 0,
        "offset": offset,
        "timestamp_ms": ARRIVAL_MS,
        "value": value,
    }
    return InboundRecord(**(values | changes))


def settings(capacity: int = 2, **changes: Any) -> Settings:
    """Settings with one model `m` at one endpoint."""
    model = {
        "name": "m",
        "endpoints": [{"base_url": "http://127.0.0.1:1/v1", "capacity": capacity}],
    }
    return Settings.model_validate({"models": [model]} | changes)
