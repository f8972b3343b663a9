"""Every kind of bad record, with what must become of it; one table for all levels."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Bad:
    """One record that is no good request.

    Attributes:
        name: of the case; also the correlation id where there is one.
        value: the record's value.
        code: what the failed reply or the dead letter says.
        headers: beside the value.
    """

    name: str
    value: bytes | None = field(repr=False)
    code: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def _request(name: str, code: str, **fields: Any) -> Bad:
    body = {"correlation_id": name, "content": "x"} | fields
    return Bad(name, json.dumps(body).encode(), code)


def _raw(name: str, more: bytes, code: str = "INVALID_REQUEST") -> Bad:
    """A JSON object in which `more` stands as it is."""
    head = b'{"correlation_id": "%s", "content": "x", ' % name.encode()
    return Bad(name, head + more + b"}", code)


def _invalid(name: str, **fields: Any) -> Bad:
    return _request(name, "INVALID_REQUEST", **fields)


def _named(name: str, value: bytes, **headers: str) -> Bad:
    """Its ids in the body are of no use; a header has a good one."""
    return Bad(name, value, "INVALID_REQUEST", {"correlation_id": name} | headers)


# With llm-d-async #353 (row X of the cases that users of other products reported).
NULLABLE = (
    *("id", "task_type", "priority", "token_count", "model_id", "status", "agent_id"),
    *("agent_group", "messages", "params", "stream", "ttl_s", "session_id"),
    "reply_topic",
)
ANSWERED = (
    _invalid("params-is-text", params="temperature"),
    _invalid("params-is-a-list", params=[1]),
    _invalid("content-is-a-number", content=7),
    _invalid("content-part-without-type", content=[{"text": "x"}]),
    _invalid("content-part-is-text", content=["x"]),
    _invalid("message-without-role", messages=[{"content": "x"}]),
    _invalid("message-is-text", messages=["x"]),
    _invalid("messages-is-an-object", messages={"role": "user"}),
    _invalid("unknown-task-type", task_type="make_coffee"),
    _invalid("task-type-in-capitals", task_type="TEXT_GENERATION"),
    _invalid("task-type-with-a-blank", task_type="text_generation "),
    _invalid("unknown-priority", priority="urgent"),
    _invalid("priority-is-a-number", priority=7),
    _invalid("priority-in-capitals", priority="HIGH"),
    _invalid("priority-is-true", priority=True),
    _invalid("status-of-no-reply", status="pending"),
    _invalid("status-is-a-list", status=[]),
    _invalid("status-in-capitals", status="COMPLETED"),
    _invalid("token-count-negative", token_count=-1),
    _invalid("token-count-is-text", token_count="many"),
    _invalid("token-count-in-quotes", token_count="5"),
    _invalid("token-count-is-true", token_count=True),
    _invalid("token-count-is-a-part", token_count=5.5),
    _invalid("token-count-is-a-list", token_count=[5]),
    _invalid("stream-is-text", stream="true"),
    _invalid("stream-is-a-number", stream=1),
    _invalid("ttl-is-true", ttl_s=True),
    _invalid("ttl-is-false", ttl_s=False),
    _invalid("ttl-in-quotes", ttl_s="30"),
    _invalid("ttl-with-a-unit", ttl_s="30s"),
    _invalid("ttl-is-a-list", ttl_s=[30]),
    _invalid("ttl-zero", ttl_s=0),
    _invalid("ttl-negative", ttl_s=-1),
    _invalid("id-is-a-number", id=7),
    _invalid("id-is-true", id=True),
    _invalid("session-is-a-number", session_id=7),
    _invalid("group-is-a-number", agent_group=7),
    _invalid("reply-topic-is-a-number", reply_topic=7),
    _invalid("content-is-true", content=True),
    _invalid("content-is-an-object", content={"type": "text", "text": "x"}),
    _invalid("params-is-true", params=True),
    _invalid("messages-is-true", messages=True),
    _named("id-is-a-number-beside-a-header", b'{"id": 7, "content": "x"}'),
    _named("number-beside-a-header", b'{"correlation_id": 7, "content": "x"}'),
    _named("list-beside-a-header", b'{"correlation_id": ["a"], "content": "x"}'),
    _named("escape-beside-a-header", b'{"correlation_id": "\\u001b", "id": "x"}'),
    _named("long-id-beside-a-header", b'{"correlation_id": "%s"}' % (b"x" * 513)),
    _named("two-ids-beside-a-header", b'{"correlation_id": "a", "correlation_id": 1}'),
    _named("agent-is-a-number-beside-a-header", b'{"agent_id": 7}', agent_id="a"),
    _invalid("id-with-a-line-break", id="a\nb"),
    _invalid("model-is-a-number", model_id=4),
    _invalid("group-too-long", agent_group="g" * 600),
    _invalid("group-with-a-control-character", agent_group="\x1b[2J"),
    _invalid("reply-topic-is-a-list", reply_topic=["results"]),
    _raw("number-not-in-json", b'"params": {"temperature": NaN}'),
    _raw("number-beyond-a-double", b'"params": {"temperature": 1e400}'),
    _raw("ttl-beyond-a-double", b'"ttl_s": 1e400'),
    _raw("integer-of-400-digits", b'"token_count": ' + b"9" * 400),
    _raw("integer-of-5000-digits", b'"token_count": ' + b"9" * 5_000),
    _raw("nested-400-levels", b'"params": ' + b'{"a":' * 400 + b"1" + b"}" * 400),
    _raw("surrogate-in-content", b'"messages": null, "content": "\\ud800"'),
    _raw("surrogate-in-a-name", b'"params": {"\\ud800": 1}'),
    _request("unknown-model", "UNKNOWN_MODEL", model_id="nope"),
    _request("reply-topic-not-allowed", "REPLY_TOPIC_NOT_ALLOWED", reply_topic="x"),
    _request("content-is-empty", "EMPTY_CONTENT", content=""),
    _request("content-is-null", "EMPTY_CONTENT", content=None),
    _request("content-without-parts", "EMPTY_CONTENT", content=[], messages=[]),
    Bad(
        "no-json-but-a-header",
        b"hello",
        "INVALID_REQUEST",
        {"correlation_id": "no-json-but-a-header"},
    ),
    Bad(
        "tombstone-but-a-header",
        None,
        "INVALID_REQUEST",
        {"correlation_id": "tombstone-but-a-header"},
    ),
    Bad(
        "header-of-an-unknown-kind",
        b'{"correlation_id": "header-of-an-unknown-kind", "content": "x"}',
        "INVALID_REQUEST",
        {"kind": "letter"},
    ),
)
"""They say whose request it is: a failed reply."""


def _letter(name: str, value: bytes | None, code: str = "MALFORMED", **h: str) -> Bad:
    return Bad(name, value, code, h)


DEAD = (
    _letter("no-json", b"hello"),
    _letter("half-of-json", b'{"correlation_id": "half", "content": '),
    _letter("a-list", b"[1]"),
    _letter("null", b"null"),
    _letter("empty", b""),
    _letter("tombstone", None),
    _letter("not-utf-8", b'{"id": "\xff", "content": "x"}'),
    _letter("utf-16", '{"id": "x", "content": "x"}'.encode("utf-16")),
    _letter("raw-null-bytes", b'{"id": "a\x00b", "content": "x"}'),
    _letter("nested-10000-levels", b"[" * 10_000 + b"]" * 10_000),
    _letter("nested-in-an-object", b'{"id": "x", "a": ' + b"[" * 10_000 + b"}"),
    _letter("the-only-id-is-a-number", b'{"id": 7, "content": "x"}'),
    _letter("correlation-id-is-a-number", b'{"correlation_id": 7, "id": "x"}'),
    _letter("agent-is-a-list", b'{"agent_id": ["a"], "id": "x", "content": "x"}'),
    _letter("agent-is-a-number", b'{"agent_id": 7}', correlation_id="x"),
    _letter("both-ids-are-bad", b'{"correlation_id": 7}', correlation_id="\x1b"),
    _letter("id-too-long", b'{"id": "%s", "content": "x"}' % (b"x" * 513)),
    _letter("agent-too-long", b'{"agent_id": "%s", "id": "x"}' % (b"x" * 513)),
    _letter("id-with-a-null-byte", b'{"id": "a\\u0000b", "content": "x"}'),
    _letter("id-with-an-escape", b'{"id": "\\u001b[2J", "content": "x"}'),
    _letter("id-with-half-a-pair", b'{"id": "\\ud800", "content": "x"}'),
    _letter("two-ids", b'{"correlation_id": "a", "correlation_id": "b"}'),
    _letter("two-agents", b'{"agent_id": "a", "id": "x", "agent_id": "b"}'),
    _letter("two-ids-escaped", b'{"id": "a", "\\u0069d": "b", "content": "x"}'),
    _letter("a-reply", b'{"correlation_id": "x", "status": "completed"}'),
    _letter("a-chunk", b'{"correlation_id": "x", "content": "x"}', kind="chunk"),
    _letter("header-id-with-an-escape", b"hello", correlation_id="\x1b[2J"),
    _letter("no-id", b'{"content": "x"}', "MISSING_IDENTITY"),
    _letter("empty-ids", b'{"id": "", "correlation_id": ""}', "MISSING_IDENTITY"),
    _letter("nothing", b"{}", "MISSING_IDENTITY"),
)
"""Nobody could be answered, or not for certain: a dead letter."""

UNUSUAL = (
    _request("all-null", "", **dict.fromkeys(NULLABLE)),
    _request("token-count-with-a-point", "", token_count=5.0),
    _request("ttl-with-an-exponent", "", ttl_s=3e1),
    _request("ttl-is-whole", "", ttl_s=30),
    _raw("fields-of-next-year", b'"of_next_year": {"a": [1]}', ""),
    _raw("a-field-twice", b'"params": {"top_p": 1}, "params": {"top_p": 0.5}', ""),
    _raw("ttl-of-years", b'"ttl_s": 1e300', ""),
    _raw("integer-of-300-digits", b'"params": {"seed": ' + b"9" * 300 + b"}", ""),
    _raw("null-byte-in-content", b'"messages": null, "content": "a\\u0000b"', ""),
    _raw("an-escaped-pair", b'"messages": null, "content": "\\ud83d\\ude00"', ""),
    _request(
        "image-parts",
        "",
        task_type="image_analysis",
        content=[
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        ],
    ),
    _request("image-analysis-of-text", "", task_type="image_analysis"),
    _request(
        "messages",
        "",
        content=None,
        messages=[{"role": "system", "content": "y"}, {"role": "user", "content": "x"}],
    ),
    Bad(
        "byte-order-mark",
        b'\xef\xbb\xbf{"correlation_id": "byte-order-mark", "content": "x"}',
        "",
    ),
    Bad(
        "ids-in-headers-only",
        b'{"content": "x"}',
        "",
        {"correlation_id": "ids-in-headers-only", "agent_id": "a"},
    ),
)
"""They look odd and are good: answered like any other."""
