"""What a worker and the child that runs a suspect tell each other: lines of JSON; pure.

The request stays sealed in the parent: base64 of its bytes, parsed by the child only.
"""

import base64
import json
from typing import Any

from agentsched.ledger.redis.codec import decode_facts, encode_facts
from agentsched.ledger.values import CallOutcome, Claimed, ClaimOutcome
from agentsched.worker.call_result import CallResult


def encode_claimed(claimed: Claimed, time_left_s: float) -> bytes:
    """Write a claimed request as a line; raises ValueError without its facts.

    Args:
        claimed: with outcome CLAIMED.
        time_left_s: until the deadline, now.
    """
    if claimed.facts is None:
        raise ValueError("a claim without facts: the ledger broke its contract")
    return _line(
        facts=encode_facts(claimed.facts),
        payload=base64.b64encode(claimed.payload).decode(),
        model=claimed.model,
        endpoint=claimed.endpoint,
        attempt=claimed.attempt,
        time_left_ms=round(time_left_s * 1000),
        queued_ms=claimed.queued_ms,
    )


def decode_claimed(line: bytes) -> Claimed:
    """Read what `encode_claimed` wrote."""
    data = json.loads(line)
    return Claimed(
        ClaimOutcome.CLAIMED,
        decode_facts(data.pop("facts")),
        base64.b64decode(data.pop("payload")),
        **data,
    )


def encode_answer(answer: CallResult) -> bytes:
    """Write an answer as a line."""
    return _line(
        value=base64.b64encode(answer.value).decode(),
        ok=answer.outcome.ok,
        model_ms=answer.outcome.model_ms,
        called=answer.outcome.called,
        code=answer.code,
    )


def decode_answer(line: bytes) -> CallResult:
    """Read what `encode_answer` wrote."""
    data = json.loads(line)
    outcome = CallOutcome(data["ok"], data["model_ms"], data["called"])
    return CallResult(base64.b64decode(data["value"]), outcome, data["code"])


def _line(**data: Any) -> bytes:  # noqa: ANN401  (what JSON holds)
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"
