"""All keys of a namespace as text that a person can read, and back into Redis.

A byte is a character (Latin-1). Times stand there as Redis had them; `load` moves them all
by as much, so that what was to come is still to come.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import redis

FOLDER = Path(__file__).parent
_TIME = re.compile(r"\b\d{13}\b")
"""Milliseconds since 1970, until 2286; a word of its own, so no part of a hash."""
_BUCKET = re.compile(r"^\w+:answered:")
_LEFT = slice(1, 5)
"""Of a tombstone: the milliseconds until its slice ends."""


@dataclass(frozen=True)
class Snapshot:
    """A namespace at one moment."""

    format: int
    """Of the ledger."""
    written_by: str
    epoch: str
    at_ms: int
    keys: dict[str, dict[str, Any]]
    """Name without the namespace -> `type`, `value`, and `ends_ms` where it expires."""

    @classmethod
    def read(cls, number: int) -> Self:
        """Read the sample of one format."""
        if not path_of(number).exists():
            raise FileNotFoundError(
                f"a ledger of format {number} has no sample: write it with"
                f" `python -m tests.golden {number}` (tests/golden/README.md)"
            )
        return cls(**json.loads(path_of(number).read_text("utf-8")))

    def save(self) -> None:
        """Write the sample."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True)
        path_of(self.format).write_text(text + "\n", "utf-8")

    def shape(self) -> dict[str, Any]:
        """Return what two of the same history have in common: all but the times."""
        text = json.dumps(
            {name: _without_times(name, key) for name, key in self.keys.items()},
            sort_keys=True,
        )
        shape: dict[str, Any] = json.loads(
            _TIME.sub("TIME", text.replace(self.epoch, "EPOCH"))
        )
        return shape


def path_of(number: int) -> Path:
    """Return where the sample of one format is."""
    return FOLDER / f"ledger-{number}.json"


def take(
    client: redis.Redis, namespace: str, epoch: str, at_ms: int, **about: Any
) -> Snapshot:
    """Read all keys of a namespace."""
    keys = {}
    for name in sorted(client.scan_iter(f"{namespace}:*", count=1000)):
        kind = client.type(name).decode()
        key = {"type": kind, "value": _READ[kind](client, name)}
        if (left_ms := client.pttl(name)) > 0:
            seconds, micros = client.time()
            key["ends_ms"] = seconds * 1000 + micros // 1000 + left_ms
        keys[_text(name.removeprefix(f"{namespace}:".encode()))] = key
    return Snapshot(epoch=epoch, at_ms=at_ms, keys=keys, **about)


def load(client: redis.Redis, namespace: str, snapshot: Snapshot) -> int:
    """Write all keys of a snapshot; returns the moment that stands for its `at_ms`."""
    seconds, micros = client.time()
    now_ms = seconds * 1000 + micros // 1000
    by_ms = now_ms - snapshot.at_ms

    def moved(value: str) -> bytes:
        later = _TIME.sub(lambda found: str(int(found[0]) + by_ms), value)
        return later.encode("latin-1")

    for name, key in snapshot.keys.items():
        at = f"{namespace}:".encode() + moved(name)
        _WRITE[key["type"]](client, at, key["value"], moved)
        if "ends_ms" in key:
            client.pexpireat(at, key["ends_ms"] + by_ms)
    return now_ms


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _pairs(found: dict[bytes, bytes]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in sorted(found.items())}


_READ = {
    "string": lambda client, name: _text(client.get(name)),
    "hash": lambda client, name: _pairs(client.hgetall(name)),
    "list": lambda client, name: list(map(_text, client.lrange(name, 0, -1))),
    "set": lambda client, name: sorted(map(_text, client.smembers(name))),
    "zset": lambda client, name: [
        [_text(member), f"{score:.0f}"]
        for member, score in client.zrange(name, 0, -1, withscores=True)
    ],
    "stream": lambda client, name: [
        [_text(at), _pairs(fields)] for at, fields in client.xrange(name)
    ],
}


def _write_stream(client, at, value, moved):
    for place, fields in value:
        said = {name: moved(text) for name, text in fields.items()}
        client.xadd(at, said, id=moved(place))


_WRITE = {
    "string": lambda client, at, value, moved: client.set(at, moved(value)),
    "hash": lambda client, at, value, moved: client.hset(
        at, mapping={moved(name): moved(text) for name, text in value.items()}
    ),
    "list": lambda client, at, value, moved: client.rpush(at, *map(moved, value)),
    "set": lambda client, at, value, moved: client.sadd(at, *map(moved, value)),
    "zset": lambda client, at, value, moved: client.zadd(
        at, {moved(member): moved(score) for member, score in value}
    ),
    "stream": _write_stream,
}


def _without_times(name: str, key: dict[str, Any]) -> dict[str, Any]:
    value = key["value"]
    if key["type"] == "stream":
        # Two entries of one millisecond are numbered.
        value = [fields for _, fields in value]
    elif _BUCKET.match(name):
        value = {field: _without_left(text) for field, text in value.items()}
    return {"type": key["type"], "value": value, "expires": "ends_ms" in key}


def _without_left(tombstone: str) -> str:
    return tombstone[: _LEFT.start] + "...." + tombstone[_LEFT.stop :]
