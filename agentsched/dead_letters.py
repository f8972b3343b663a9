"""The format of dead letters, written and read; pure.

A dead letter is a record that cannot be answered, kept as it was in
`<topic>.dead_letter` with the reason beside it. A marker there says that one was
replayed.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from agentsched.codec import encode_message, hash_value, names_in
from agentsched.errors import ErrorCode
from agentsched.kafka_records import Headers, InboundRecord, OutboundRecord, RecordAt
from agentsched.origin import HEADERS_VERSION, VERSIONS_READ, Origin
from agentsched.wire_json import read_object

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
REPLAY_OF = "replay_of"
"""The header of a replayed record: topic:partition:offset of the dead letter."""
REPLAY_OF_ID = "replay_of_correlation_id"
"""The header that has the correlation_id from before, where there is a new one."""
REPLAYED = "replayed"
"""The header `kind` of a marker."""


REPLAYS = uuid.UUID("6f0a4a52-0b0a-4a0e-9d5c-6b1a2f0f9a77")
"""Namespace of the new ids; random, and for good."""


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
        **Origin.of(source, record.offset).headers(),
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


@dataclass(frozen=True, slots=True)
class Replayed:
    """A marker: one dead letter was replayed."""

    letter: RecordAt
    to: RecordAt
    timestamp_ms: int


def read_letter(record: InboundRecord) -> DeadLetter | Replayed | None:
    """Read a record of a dead-letter topic; None for what we did not write."""
    headers = Headers.of(record.headers)
    if headers.get("agentsched_version") not in VERSIONS_READ:
        return None
    try:
        if headers.get("kind") == REPLAYED:
            return _read_marker(record, headers)
        return _read_letter(record, headers)
    except (KeyError, ValueError):
        return None


def _read_letter(record: InboundRecord, headers: Headers) -> DeadLetter:
    source = _place(headers, "source")
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


def replay_record(letter: DeadLetter, record: InboundRecord) -> OutboundRecord:
    """Make the record that replays a dead letter on its original topic.

    A request that was never answered keeps its identity and its bytes. One that got a
    failed reply would get that again: it gets a new correlation_id, always the same
    one for the same letter, so that a replay that is repeated is no second request.

    Args:
        letter: what is replayed.
        record: its record, whole.

    Raises:
        CodecError: MALFORMED, it needs a new correlation_id and is no JSON object.
    """
    headers = [
        (name, value)
        for name, value in Headers.of(record.headers).pairs
        if name not in (REPLAY_OF, REPLAY_OF_ID)
    ]
    value, key = record.value, record.key
    if letter.was_answered:
        old, new = letter.correlation_id, _new_id(letter)
        fields = read_object(value or b"").fields | {"correlation_id": new}
        value = encode_message(fields)
        key = new.encode() if key == old.encode() else key
        headers = [each for each in headers if each[0] != "correlation_id"]
        headers += [("correlation_id", new.encode()), (REPLAY_OF_ID, old.encode())]
    headers.append((REPLAY_OF, place(letter.at).encode()))
    return OutboundRecord(
        topic=letter.source.topic, key=key, value=value, headers=Headers(headers)
    )


def _new_id(letter: DeadLetter) -> str:
    name = f"{place(letter.at)} {place(letter.source)} {letter.source_timestamp_ms}"
    return str(uuid.uuid5(REPLAYS, name))


def marker_record(letter: RecordAt, to: RecordAt) -> OutboundRecord:
    """Make the record that says that a dead letter was replayed, and where it is now.

    It goes behind its letter into the same partition: a purge, which deletes the oldest,
    takes the letter first.
    """
    return OutboundRecord(
        topic=letter.topic,
        partition=letter.partition,
        value=None,
        headers={
            "kind": REPLAYED,
            "agentsched_version": str(HEADERS_VERSION),
            **_headers_of("letter", letter),
            **_headers_of("replayed", to),
        },
    )


def _read_marker(record: InboundRecord, headers: Headers) -> Replayed:
    return Replayed(
        _place(headers, "letter"), _place(headers, "replayed"), record.timestamp_ms
    )


def _headers_of(what: str, at: RecordAt) -> dict[str, str]:
    return {
        f"{what}_topic": at.topic,
        f"{what}_partition": str(at.partition),
        f"{what}_offset": str(at.offset),
    }


def _place(headers: Headers, what: str) -> RecordAt:
    return RecordAt(
        headers[f"{what}_topic"],
        int(headers[f"{what}_partition"]),
        int(headers[f"{what}_offset"]),
    )
