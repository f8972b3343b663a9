"""Every commit of a group, from Kafka's own topic of offsets; asks no bridge.

A commit says: all below this offset is answered. When it was said stands in it.
"""

import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

TOPIC = "__consumer_offsets"
READ_S = 30.0
OFFSET_KEYS = (0, 1)
WITH_EPOCH = 3
"""Since this version a leader epoch stands before the metadata."""
FLEXIBLE = 4
"""Since this one the length of the metadata is a varint, and one more than it is."""


@dataclass(frozen=True)
class Commit:
    """One commit of one partition, by the coordinator's clock."""

    topic: str
    partition: int
    offset: int
    at_ms: int


def commits_of(bootstrap: str, group: str) -> list[Commit]:
    """Read all commits of a group, in their order; blocks."""
    found = []
    for key, value in _records(bootstrap):
        place = _place(key)
        if place and place[0] == group and value:
            offset, at_ms = _offset(value)
            found.append(Commit(place[1], place[2], offset, at_ms))
    return found


def _records(bootstrap: str) -> Iterator[tuple[bytes, bytes | None]]:
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": "commits",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    }
    with closing(Consumer(settings)) as consumer:
        each = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
        consumer.assign([TopicPartition(TOPIC, n, OFFSET_BEGINNING) for n in each])
        left = set(each)
        while left:
            message = consumer.poll(READ_S)
            if message is None:
                raise AssertionError(f"{TOPIC} cannot be read to its end")
            if not message.error():
                yield message.key(), message.value()
            elif message.error().code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition())


def _place(key: bytes) -> tuple[str, str, int] | None:
    """Return group, topic and partition; None: another kind of record."""
    (version,), at = struct.unpack_from(">h", key), 2
    if version not in OFFSET_KEYS:
        return None
    group, at = _text(key, at)
    topic, at = _text(key, at)
    return group, topic, struct.unpack_from(">i", key, at)[0]


def _offset(value: bytes) -> tuple[int, int]:
    """Return what was committed, and when (milliseconds of the clock)."""
    version, offset = struct.unpack_from(">hq", value)
    at = 10 + (4 if version >= WITH_EPOCH else 0)
    at = _behind_compact(value, at) if version >= FLEXIBLE else _text(value, at)[1]
    return offset, struct.unpack_from(">q", value, at)[0]


def _behind_compact(data: bytes, at: int) -> int:
    """Return where a text with a varint length ends."""
    length, shift = 0, 0
    while True:
        length |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return at + length - 1


def _text(data: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">h", data, at)
    end = at + 2 + length
    return data[at + 2 : end].decode(), end
