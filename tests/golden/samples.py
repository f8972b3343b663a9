"""Every persisted format but the ledger's keys: literal samples, by version, and their value.

A sample is never changed. Who changes a format raises its version, keeps the last sample as
the one of the version before, and adds a new one (tests/golden/README.md).
"""

import base64
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from agentsched.errors import CodecError, ErrorCode, NewerFormat
from agentsched.ledger.bridge_reports import (
    REPORT_VERSION,
    BridgeReport,
    FlowLoad,
    IndexAnswer,
    IndexedRequest,
    Question,
)
from agentsched.ledger.operator_orders import CONTROL_VERSION, Control, ControlKind
from agentsched.ledger.redis import codec
from agentsched.wire.codec import Identity
from agentsched.wire.commit_state import VERSION as NOTE_VERSION
from agentsched.wire.commit_state import (
    CommitState,
    decode_commit_state,
    encode_commit_state,
)
from agentsched.wire.conflicts import Conflict, conflict_record, read_conflict
from agentsched.wire.dead_letters import dead_letter_record, read_letter
from agentsched.wire.doorbell import DOORBELL_VERSION, Doorbell
from agentsched.wire.epoch import NO_EPOCH, EpochCounter
from agentsched.wire.records import Headers, InboundRecord, OutboundRecord, RecordAt
from agentsched.wire.replays import Replayed, marker_record, read_marker
from agentsched.wire.replies import reply_record
from agentsched.wire.request_facts import FACTS_VERSION, RequestFacts
from agentsched.wire.source_record import HEADERS_VERSION, SourceRecord, settled_by


@dataclass(frozen=True)
class Format:
    """One format; samples and values by version."""

    name: str
    """As in docs/reference/formats.md."""
    version: int
    """What the code says that it writes."""
    stands_in: str
    """Where the version stands."""
    samples: dict[int, Any]
    values: dict[int, Any]
    read: Callable[[Any], Any]
    write: Callable[[Any], Any]
    newer: Callable[[Any], Any]
    """Makes a sample one of the version after."""
    refusal: type[Exception] | Any
    """What reading that raises, or returns instead of a value."""
    fix: str = ""
    """A part of what the refusal says."""
    comparable: Callable[[Any], Any] = lambda sample: sample
    """What of a sample does not depend on a library."""


FACTS = RequestFacts(
    key="1bcdef01234567891bcdef0123456789",
    agent_id="planner",
    correlation_id="c-1",
    group="planning",
    cls="high",
    models=("gpt-4", "llama3"),
    task_type="text_generation",
    tokens=120,
    arrival_ms=1763940000000,
    deadline_ms=1763940600000,
    topic="high_priority",
    partition=0,
    offset=42,
    source="high_priority:QeVnbJ-5TX6oGYPb:0",
    reply_topic="results",
)
UPGRADE = "upgrade this"


def _next_in_json(text: str) -> str:
    data = json.loads(text)
    return json.dumps(data | {"version": data["version"] + 1})


# -- Celery --------------------------------------------------------------------------

DOORBELL = Format(
    name="doorbell",
    version=DOORBELL_VERSION,
    stands_in="agentsched/wire/doorbell.py",
    samples={
        1: '{"key": "1bcdef01234567891bcdef0123456789", "ring": 3,'
        ' "epoch": "000000011e91a8e97c940b45", "model": "gpt-4", "cls": "high",'
        ' "agent_id": "planner", "correlation_id": "c-1", "version": 1}',
        2: '{"key": "1bcdef01234567891bcdef0123456789", "turn": 3,'
        ' "epoch": "000000011e91a8e97c940b45", "model": "gpt-4", "cls": "high",'
        ' "agent_id": "planner", "correlation_id": "c-1", "version": 2}',
    },
    values=dict.fromkeys(
        (1, 2), Doorbell.of(FACTS, 3, "000000011e91a8e97c940b45", "gpt-4")
    ),
    read=lambda text: Doorbell.from_wire(json.loads(text)),
    write=lambda bell: json.dumps(bell.to_wire()),
    newer=_next_in_json,
    refusal=CodecError,
    fix=UPGRADE,
)

# -- Kafka ---------------------------------------------------------------------------

WATERMARK = 42


def _note_body(text: str) -> tuple[str, bytes]:

    mark, version, body = text.split(":")
    # Another zlib may pack the same otherwise.
    return f"{mark}:{version}", zlib.decompress(base64.b64decode(body))


NOTE = Format(
    name="commit metadata",
    version=NOTE_VERSION,
    stands_in="agentsched/wire/commit_state.py",
    samples={
        1: "agentsched:1:eNpjbFjMKmEAAYaGqZaGiRaplubJliYGSSamAoGpYXlJXrqmIRFm+e6RAUmM"
        "TLvZ1zABAFe3Dao="
    },
    values={
        1: CommitState(
            EpochCounter("000000011e91a8e97c940b45", 86_400),
            "QeVnbJ-5TX6oGYPb",
            clean=True,
            done=(range(43, 45), range(1000, 1300)),
        )
    },
    read=lambda text: decode_commit_state(text, WATERMARK),
    write=lambda note: encode_commit_state(note, WATERMARK),
    newer=lambda text: text.replace(":1:", ":2:"),
    # It says nothing for sure: Kafka is asked what was answered.
    refusal=CommitState(NO_EPOCH),
    comparable=_note_body,
)


def _next_in_headers(headers: dict[str, str]) -> dict[str, str]:
    return headers | {"agentsched_version": str(HEADERS_VERSION + 1)}


REPLY_HEADERS = {
    "correlation_id": "c-1",
    "agent_id": "planner",
    "agentsched_version": "2",
    "source_topic": "high_priority",
    "source_topic_id": "QeVnbJ-5TX6oGYPb",
    "source_partition": "0",
    "source_offset": "42",
}


def _version_1(headers: dict[str, str]) -> dict[str, str]:
    old = {k: v for k, v in headers.items() if k != "source_topic_id"}
    return old | {"agentsched_version": "1"}


REPLY = Format(
    name="reply headers",
    version=HEADERS_VERSION,
    stands_in="agentsched/wire/source_record.py",
    samples={1: _version_1(REPLY_HEADERS), 2: REPLY_HEADERS},
    values={
        1: SourceRecord("high_priority", "", 0, 42),
        2: SourceRecord("high_priority", "QeVnbJ-5TX6oGYPb", 0, 42),
    },
    read=settled_by,
    write=lambda _: dict(reply_record(FACTS, b"{}", "").headers),
    newer=_next_in_headers,
    refusal=None,
)

CONFLICT = Format(
    name="conflict records",
    version=HEADERS_VERSION,
    stands_in="agentsched/wire/source_record.py",
    samples={
        2: {
            "kind": "conflict",
            "correlation_id": "c-1",
            "agent_id": "planner",
            "payload_hash": "ed13a0ab7d41db0d9f50c28f628a470a",
            "agentsched_version": "2",
        }
    },
    values={
        2: Conflict(Identity("planner", "c-1"), "ed13a0ab7d41db0d9f50c28f628a470a")
    },
    read=read_conflict,
    write=lambda conflict: dict(conflict_record(FACTS, conflict.payload_hash).headers),
    newer=_next_in_headers,
    refusal=None,
)

LETTER_RECORD = InboundRecord(
    topic="high_priority",
    partition=0,
    offset=42,
    timestamp_ms=1763940000000,
    value=b"not json",
    headers=Headers([("kind", b"x"), ("traceparent", b"00-1")]),
    key=b"k",
)
LETTER_HEADERS = {
    "original.kind": "x",
    "traceparent": "00-1",
    "reason": "MALFORMED",
    "reason_detail": "no JSON",
    "source_timestamp_ms": "1763940000000",
    "agentsched_version": "2",
    "source_topic": "high_priority",
    "source_topic_id": "QeVnbJ-5TX6oGYPb",
    "source_partition": "0",
    "source_offset": "42",
}


def _in_letter_topic(headers: dict[str, str], value: bytes | None) -> InboundRecord:
    return InboundRecord(
        topic="high_priority.dead_letter",
        partition=0,
        offset=7,
        timestamp_ms=1763940000500,
        value=value,
        headers=Headers((name, text.encode()) for name, text in headers.items()),
        key=b"k",
    )


def _letter(headers: dict[str, str]) -> Any:
    letter = read_letter(_in_letter_topic(headers, b"not json"))
    if letter is None:
        return None
    kept = replace(letter.record, headers=dict(letter.record.headers))
    return letter.reason, letter.detail, letter.source, letter.source_timestamp_ms, kept


def _headers_of(record: OutboundRecord) -> dict[str, str]:
    return dict(Headers.of(record.headers).items())


_LETTER = (
    "MALFORMED",
    "no JSON",
    RecordAt("high_priority", 0, 42),
    1763940000000,
    replace(LETTER_RECORD, headers={"kind": "x", "traceparent": "00-1"}),
)
LETTER = Format(
    name="dead-letter headers",
    version=HEADERS_VERSION,
    stands_in="agentsched/wire/source_record.py",
    samples={1: _version_1(LETTER_HEADERS), 2: LETTER_HEADERS},
    values={1: _LETTER, 2: _LETTER},
    read=_letter,
    write=lambda _: _headers_of(
        dead_letter_record(LETTER_RECORD, FACTS.source, ErrorCode.MALFORMED, "no JSON")
    ),
    newer=_next_in_headers,
    refusal=None,
)

MARKER_HEADERS = {
    "kind": "replayed",
    "agentsched_version": "2",
    "letter_topic": "high_priority.dead_letter",
    "letter_partition": "0",
    "letter_offset": "7",
    "replayed_topic": "high_priority",
    "replayed_partition": "1",
    "replayed_offset": "99",
}
_MARKER = Replayed(
    RecordAt("high_priority.dead_letter", 0, 7),
    RecordAt("high_priority", 1, 99),
    1763940000500,
)
MARKER = Format(
    name="replay markers",
    version=HEADERS_VERSION,
    stands_in="agentsched/wire/source_record.py",
    samples={1: MARKER_HEADERS | {"agentsched_version": "1"}, 2: MARKER_HEADERS},
    values={1: _MARKER, 2: _MARKER},
    read=lambda headers: read_marker(_in_letter_topic(headers, None)),
    write=lambda marker: _headers_of(marker_record(marker.letter, marker.to)),
    newer=_next_in_headers,
    refusal=None,
)

# -- Redis ---------------------------------------------------------------------------

REQUEST_FACTS = Format(
    name="facts of a request",
    version=FACTS_VERSION,
    stands_in="agentsched/ledger/values.py",
    samples={
        1: '{"key":"1bcdef01234567891bcdef0123456789","agent_id":"planner",'
        '"correlation_id":"c-1","group":"planning","cls":"high",'
        '"models":["gpt-4","llama3"],"task_type":"text_generation","tokens":120,'
        '"arrival_ms":1763940000000,"deadline_ms":1763940600000,'
        '"topic":"high_priority","partition":0,"offset":42,'
        '"source":"high_priority:QeVnbJ-5TX6oGYPb:0","reply_topic":"results",'
        '"version":1}'
    },
    values={1: FACTS},
    read=codec.decode_facts,
    write=codec.encode_facts,
    newer=_next_in_json,
    refusal=NewerFormat,
    fix=UPGRADE,
)

ORDERED = Control(ControlKind.PAUSE, "gpt-4", "ana@ops", "vendor", 1763940000000)


def _next_order(sample: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    place, value = sample
    return place, value.replace(b'"version": 2', b'"version": 3')


def _order_of_the_future() -> Control:
    reason = "an order of version 3, held to be safe: upgrade this process"
    written = b'{"version": 3, "by": "ana@ops", "reason": "vendor"}'
    return replace(ORDERED, by="", reason=reason, written=written)


CONTROL = Format(
    name="orders of operators",
    version=CONTROL_VERSION,
    stands_in="agentsched/ledger/operator_orders.py",
    samples={
        1: (b"pause gpt-4", b'1763940000000 {"by": "ana@ops", "reason": "vendor"}'),
        2: (
            b"pause gpt-4",
            b'1763940000000 {"version": 2, "by": "ana@ops", "reason": "vendor"}',
        ),
    },
    values={1: ORDERED, 2: ORDERED},
    read=lambda sample: codec.decode_control(*sample),
    write=lambda control: (
        codec.encode_place(control.kind, control.name).encode(),
        f"{control.at_ms} {codec.encode_control(control)}".encode(),
    ),
    newer=_next_order,
    # It holds all the same, and says so.
    refusal=_order_of_the_future(),
)

REPORT = Format(
    name="reports of bridges",
    version=REPORT_VERSION,
    stands_in="agentsched/ledger/bridge_reports.py",
    samples={
        1: '{"version":1,"software":"0.1.0","http":"","leading":true,'
        '"stopping":false,"draining":false,"waiting":{},"in_flight":0,'
        '"unanswered":0,"flows":[{"models":["gpt-4"],"waiting":{"high":3},'
        '"in_flight":0}],"agents":[],"other_agents":0,"other_agents_waiting":0,'
        '"oldest":null,"answered_per_s":0.0,"calls_per_s":{},"partitions":[],'
        '"other_partitions":0}'
    },
    values={
        1: BridgeReport(
            software="0.1.0",
            leading=True,
            flows=(FlowLoad(models=("gpt-4",), waiting={"high": 3}),),
        )
    },
    read=BridgeReport.from_json,
    write=BridgeReport.to_json,
    newer=_next_in_json,
    refusal=ValueError,
    fix="version",
)
QUESTION = Format(
    name="questions of operators",
    version=REPORT_VERSION,
    stands_in="agentsched/ledger/bridge_reports.py",
    samples={
        # Before, it had no number.
        0: '{"id":"1f","correlation_id":"c-1","agent_id":"planner"}',
        1: '{"version":1,"id":"1f","correlation_id":"c-1","agent_id":"planner"}',
    },
    values=dict.fromkeys(
        (0, 1), Question(id="1f", correlation_id="c-1", agent_id="planner")
    ),
    read=Question.from_json,
    write=Question.to_json,
    newer=_next_in_json,
    refusal=ValueError,
    fix="version",
)
_FOUND = (
    '"found":[{"agent_id":"planner","correlation_id":"c-1","cls":"high",'
    '"models":["gpt-4"],"stage":"waiting","topic":"high_priority","partition":0,'
    '"offset":1,"waiting_ms":9,"deadline_ms":90,"before":null,"loading":false}],'
    '"complete":true,"loading":0}'
)
FINDINGS = Format(
    name="answers of bridges",
    version=REPORT_VERSION,
    stands_in="agentsched/ledger/bridge_reports.py",
    samples={0: "{" + _FOUND, 1: '{"version":1,' + _FOUND},
    values=dict.fromkeys(
        (0, 1),
        IndexAnswer(
            found=(
                IndexedRequest(
                    agent_id="planner",
                    correlation_id="c-1",
                    cls="high",
                    models=("gpt-4",),
                    stage="waiting",
                    topic="high_priority",
                    partition=0,
                    offset=1,
                    waiting_ms=9,
                    deadline_ms=90,
                ),
            )
        ),
    ),
    read=IndexAnswer.from_json,
    write=IndexAnswer.to_json,
    newer=_next_in_json,
    refusal=ValueError,
    fix="version",
)

FORMATS = (
    DOORBELL,
    NOTE,
    REPLY,
    CONFLICT,
    LETTER,
    MARKER,
    REQUEST_FACTS,
    CONTROL,
    REPORT,
    QUESTION,
    FINDINGS,
)
