"""The format of dead letters, written and read; pure.

A dead letter is a record that cannot be answered, kept as it was in
`<topic>.dead_letter` with the reason beside it. What is replayed: `replays.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agentsched.errors import ErrorCode
from agentsched.wire.codec import hash_value, names_in
from agentsched.wire.records import Headers, InboundRecord, OutboundRecord, RecordAt
from agentsched.wire.source_record import VERSIONS_READ, SourceRecord

SUFFIX = ".dead_letter"
KEPT_BYTES = 983_040
"""Value, key and headers of the record; with ours below 1 MiB, a broker's default."""
KEPT_HEADER_BYTES = 32_768
KEPT_KEY_BYTES = 32_768
HEADER_FRAME_BYTES = 8
"""What a header takes beside its name and value, at most."""
OURS = frozenset(
    {
        "reason",
        "reason_detail",
        "source_topic",
        "source_topic_id",
        "source_partition",
        "source_offset",
        "source_timestamp_ms",
        "agentsched_version",
        "value_omitted_bytes",
        "value_hash",
        "headers_omitted",
        "key_omitted_bytes",
        "kind",
    }
)
ORIGINAL = "original."
"""Before the name of a header of the record that would be taken for one of ours."""
ALSO_ANSWERED = frozenset({ErrorCode.POISON.value})
"""Reasons of dead letters beside a failed reply."""


def dead_letter_topic(input_topic: str) -> str:
    """Return where the dead letters of an input topic are."""
    return f"{input_topic}{SUFFIX}"


def dead_letter_record(
    record: InboundRecord, source: str, code: ErrorCode, detail: str
) -> OutboundRecord:
    """Address a record that cannot be answered to `<topic>.dead_letter`.

    Args:
        record: kept as it was: key, value, headers and where it stood. What is too large
            for a broker's default limit is left out and said; the source record has it.
        source: the ledger's name of its partition.
        code: the reason for machines.
        detail: the reason for people, without content.
    """
    key, value, headers, omitted = _keep(record)
    ours = {
        "reason": code.value,
        "reason_detail": detail,
        "source_timestamp_ms": str(record.timestamp_ms),
        **SourceRecord.of(source, record.offset).headers(),
        **omitted,
    }
    return OutboundRecord(
        topic=dead_letter_topic(record.topic),
        key=key,
        value=value,
        headers=Headers([*_carried(headers).pairs, *ours.items()]),
    )


def _keep(
    record: InboundRecord,
) -> tuple[bytes | None, bytes | None, Headers, dict[str, str]]:
    """Return key, value and headers as far as they fit, and what does not."""
    key, value, headers = record.key, record.value, Headers.of(record.headers)
    omitted: dict[str, str] = {}
    if _size(headers) > KEPT_HEADER_BYTES:
        omitted["headers_omitted"] = str(len(headers.pairs))
        headers = Headers()
    if len(key or b"") > KEPT_KEY_BYTES:
        omitted["key_omitted_bytes"] = str(len(key or b""))
        key = None
    if len(value or b"") + len(key or b"") + _size(headers) > KEPT_BYTES:
        omitted["value_omitted_bytes"] = str(len(value or b""))
        omitted["value_hash"] = hash_value(value or b"")
        value = None
    return key, value, headers, omitted


def _size(headers: Headers) -> int:
    return sum(
        len(name.encode()) + len(value or b"") + HEADER_FRAME_BYTES
        for name, value in headers.pairs
    )


def _carried(headers: Headers) -> Headers:
    return Headers(
        (f"{ORIGINAL}{name}" if _is_reserved(name) else name, value)
        for name, value in headers.pairs
    )


def _restored(headers: Headers) -> Headers:
    return Headers(
        (name.removeprefix(ORIGINAL), value)
        for name, value in headers.pairs
        if name not in OURS
    )


def _is_reserved(name: str) -> bool:
    return name in OURS or name.startswith(ORIGINAL)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter as it was read."""

    at: RecordAt
    timestamp_ms: int
    """When it became one."""
    reason: str
    detail: str
    source: RecordAt
    source_timestamp_ms: int
    record: InboundRecord
    """The record at `source`: its key, value and headers, as far as they were kept."""
    omitted: Mapping[str, str]
    """What was not kept, because of its size: our headers that say so."""
    value_bytes: int
    """Size of the record's value, whether it was kept or not."""
    agent_id: str
    correlation_id: str
    """As far as they could be read; any characters."""

    @property
    def is_whole(self) -> bool:
        """Whether key, value and headers were kept."""
        return not self.omitted

    @property
    def was_answered(self) -> bool:
        """Whether the request got a failed reply beside the dead letter."""
        return self.reason in ALSO_ANSWERED

    def bare(self) -> "DeadLetter":
        """Return it without key, value and headers, to be kept in numbers."""
        bare = replace(self.record, key=None, value=None, headers=Headers())
        return replace(self, record=bare)

    def is_from(self, record: InboundRecord) -> bool:
        """Return whether a record at `source` is still the one that it was made of."""
        wanted = self.omitted.get("value_hash") or hash_value(self.record.value or b"")
        return hash_value(record.value or b"") == wanted


def read_letter(record: InboundRecord) -> DeadLetter | None:
    """Read a record of a dead-letter topic; None for what is no letter of ours."""
    headers = Headers.of(record.headers)
    if headers.get("agentsched_version") not in VERSIONS_READ:
        return None
    try:
        return _read_letter(record, headers)
    except (KeyError, ValueError):
        return None


def _read_letter(record: InboundRecord, headers: Headers) -> DeadLetter:
    source = place_in(headers, "source")
    timestamp_ms = int(headers["source_timestamp_ms"])
    omitted = {
        name: value
        for name, value in headers.items()
        if name in {"value_omitted_bytes", "headers_omitted", "key_omitted_bytes"}
        or name == "value_hash"
    }
    kept = InboundRecord(
        topic=source.topic,
        partition=source.partition,
        offset=source.offset,
        timestamp_ms=timestamp_ms,
        value=record.value,
        headers=_restored(headers),
        key=record.key,
    )
    agent_id, correlation_id = names_in(kept)
    return DeadLetter(
        at=RecordAt(record.topic, record.partition, record.offset),
        timestamp_ms=record.timestamp_ms,
        reason=headers["reason"],
        detail=headers.get("reason_detail", ""),
        source=source,
        source_timestamp_ms=timestamp_ms,
        record=kept,
        agent_id=agent_id,
        correlation_id=correlation_id,
        omitted=omitted,
        value_bytes=int(
            headers.get("value_omitted_bytes", str(len(record.value or b"")))
        ),
    )


def place(at: RecordAt) -> str:
    """Return how a record's place is written: topic:partition:offset."""
    return f"{at.topic}:{at.partition}:{at.offset}"


def place_in(headers: Headers, what: str) -> RecordAt:
    """Read a place that headers name; raises KeyError or ValueError where they do not."""
    return RecordAt(
        headers[f"{what}_topic"],
        int(headers[f"{what}_partition"]),
        int(headers[f"{what}_offset"]),
    )
