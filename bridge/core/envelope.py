"""What stands around a record's value, in one piece: an index holds a million of them.

As objects, key and headers of one record take six times as much memory. They are needed
only for dead letters.
"""

import struct
from itertools import accumulate, pairwise

from agentsched.wire.records import Headers, InboundRecord

_FIXED = struct.Struct("<q?I")
"""written_after_ms, whether the record has a value, how many texts follow."""
_ABSENT = -1
"""Stands for the length of what is not there."""
_ID = -2
"""Stands for the length of what is the request's correlation id."""


def pack(record: InboundRecord, correlation_id: str) -> bytes:
    """Return key, headers and what else `unpack` needs.

    Args:
        record: as it was read.
        correlation_id: is known elsewhere; key and headers mostly repeat it.
    """
    parts = [record.key]
    for name, value in Headers.of(record.headers).pairs:
        parts += (name.encode(), value)
    known = correlation_id.encode()
    lengths = [
        _ABSENT if part is None else _ID if part == known else len(part)
        for part in parts
    ]
    fixed = _FIXED.pack(record.written_after_ms, record.value is not None, len(parts))
    sizes = struct.pack(f"<{len(lengths)}i", *lengths)
    return b"".join([fixed, sizes, *(part for part in parts if part and part != known)])


def unpack(  # noqa: PLR0913  (a record's coordinates)
    envelope: bytes,
    correlation_id: str,
    *,
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    value: bytes,
) -> InboundRecord:
    """Return the record as it was read.

    Args:
        envelope: what `pack` returned for it.
        correlation_id: as it was given to `pack`.
        topic: where it stands in Kafka.
        partition: the same.
        offset: the same.
        timestamp_ms: when it was appended.
        value: its payload; empty also where it has none.
    """
    written_after_ms, has_value, count = _FIXED.unpack_from(envelope)
    lengths = struct.unpack_from(f"<{count}i", envelope, _FIXED.size)
    begin = _FIXED.size + 4 * count
    bounds = accumulate((max(0, length) for length in lengths), initial=begin)
    key, *flat = (
        _text(length, envelope[start:stop], correlation_id)
        for length, (start, stop) in zip(lengths, pairwise(bounds), strict=True)
    )
    names, values = flat[::2], flat[1::2]
    return InboundRecord(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp_ms=timestamp_ms,
        value=value if has_value else None,
        headers=Headers(
            ((name or b"").decode(), each)
            for name, each in zip(names, values, strict=True)
        ),
        written_after_ms=written_after_ms,
        key=key,
    )


def _text(length: int, found: bytes, correlation_id: str) -> bytes | None:
    if length == _ABSENT:
        return None
    return correlation_id.encode() if length == _ID else found
