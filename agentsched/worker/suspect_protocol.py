"""What a worker and the child that runs a suspect tell each other: lines of JSON; pure.

The request stays sealed in the parent: base64 of its bytes, parsed by the child only.
"""

import base64
import dataclasses
import json
from typing import Any

from agentsched.ledger.redis.codec import decode_facts, encode_facts
from agentsched.ledger.turns import Taken
from agentsched.ledger.values import CallOutcome
from agentsched.worker.call_result import CallResult


def encode_taken(taken: Taken, time_left_s: float) -> bytes:
    """Write a request that was taken as a line.

    Args:
        taken: the request, sealed.
        time_left_s: until the deadline, now.
    """
    fields = {f.name: getattr(taken, f.name) for f in dataclasses.fields(taken)}
    return _line(
        **fields
        | {
            "facts": encode_facts(taken.facts),
            "payload": base64.b64encode(taken.payload).decode(),
            "time_left_ms": round(time_left_s * 1000),
        }
    )


def decode_taken(line: bytes) -> Taken:
    """Read what `encode_taken` wrote."""
    data = json.loads(line)
    return Taken(
        facts=decode_facts(data.pop("facts")),
        payload=base64.b64decode(data.pop("payload")),
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
