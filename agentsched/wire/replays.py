"""The records that a replay of dead letters writes: the request again, and its marker.

Pure. A marker stands behind its letter and says that it was replayed; whether one may be
replayed is decided elsewhere.
"""

import uuid
from dataclasses import dataclass

from agentsched.wire.codec import encode_message
from agentsched.wire.dead_letters import DeadLetter, place, place_in
from agentsched.wire.json import read_object
from agentsched.wire.records import Headers, InboundRecord, OutboundRecord, RecordAt
from agentsched.wire.source_record import HEADERS_VERSION, VERSIONS_READ

REPLAY_OF = "replay_of"
"""The header of a replayed record: topic:partition:offset of the dead letter."""
REPLAY_OF_ID = "replay_of_correlation_id"
"""The header that has the correlation_id from before, where there is a new one."""
REPLAYED = "replayed"
"""The header `kind` of a marker."""
REPLAYS = uuid.UUID("6f0a4a52-0b0a-4a0e-9d5c-6b1a2f0f9a77")
"""Namespace of the new ids; random, and for good."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A marker: one dead letter was replayed."""

    letter: RecordAt
    to: RecordAt
    timestamp_ms: int


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


def read_marker(record: InboundRecord) -> Replayed | None:
    """Read a marker; None for every other record of a dead-letter topic."""
    headers = Headers.of(record.headers)
    if headers.get("agentsched_version") not in VERSIONS_READ:
        return None
    if headers.get("kind") != REPLAYED:
        return None
    try:
        letter, to = place_in(headers, "letter"), place_in(headers, "replayed")
    except (KeyError, ValueError):
        return None
    return Replayed(letter, to, record.timestamp_ms)


def _headers_of(what: str, at: RecordAt) -> dict[str, str]:
    return {
        f"{what}_topic": at.topic,
        f"{what}_partition": str(at.partition),
        f"{what}_offset": str(at.offset),
    }
