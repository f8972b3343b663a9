"""Owns how a record's value is read as JSON, whatever its bytes are; pure.

Nothing but CodecError gets out, and time and memory stay bounded. No text repeats what
the record holds.
"""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson

from agentsched.errors import CodecError, ErrorCode
from agentsched.wire.misencodings import likely_cause

MAX_NESTING = 100
"""Levels of objects and lists; tool schemas have about 20, .NET reads 64."""
DOUBLE_DIGITS = 308
"""An integer of so many digits still fits into a double, which many readers use."""
BOM = b"\xef\xbb\xbf"
"""Some programs on Windows begin UTF-8 with it; RFC 8259 lets a reader ignore it."""
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
"""Only such an escape can bring in half of a surrogate pair."""


@dataclass(frozen=True, slots=True)
class JsonObject:
    """What a value holds, and what is wrong with it all the same."""

    fields: dict[str, Any]
    """Of a name that stands twice the last one, as most readers have it."""
    problem: str = ""
    """Why others could not read it, or would read something else; empty: they can."""
    twice: frozenset[str] = frozenset()
    """Names that stand more than once in the outermost object."""


def read_object(value: bytes) -> JsonObject:
    """Read a JSON object in UTF-8.

    Raises:
        CodecError: MALFORMED, nothing of it could be read.
    """
    reading = _Reading()
    try:
        data = reading.read(value.removeprefix(BOM).decode())
    except UnicodeDecodeError:
        raise _refused("the value is not UTF-8", value) from None
    except (ValueError, RecursionError):
        raise _refused("the value is not JSON", value) from None
    if not isinstance(data, dict):
        raise _refused("the value is not a JSON object", value)
    problem = reading.problem or _problem_of(value, data)
    return JsonObject(data, problem, reading.twice)


_NO_DOUBLE = re.compile(rb"\d{16}|[eE][+-]?\d{3}")
"""Only such a number can be one that a double does not hold as it stands."""


def read_plainly(value: bytes) -> dict[str, Any] | None:
    """Return the fields of a JSON object in which nothing is odd, five times as fast.

    None: look at it with `read_object`; it may be none, or have something odd in it.
    """
    if value.count(b"{") + value.count(b"[") > MAX_NESTING or _NO_DOUBLE.search(value):
        return None
    try:
        data = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    return data if isinstance(data, dict) else None


def write(data: object) -> bytes | None:
    """Write values of JSON, compactly, in UTF-8.

    None: there is something in it that has to be looked at: half of a surrogate pair, a
    large number.
    """
    try:
        return orjson.dumps(data)
    except TypeError:
        return None


def _refused(what: str, value: bytes) -> CodecError:
    cause = likely_cause(value)
    return CodecError(ErrorCode.MALFORMED, f"{what}: {cause}" if cause else what)


class _Reading:
    """One pass over a text; notes what Python would read and others would not."""

    def __init__(self) -> None:
        self.problem = ""
        self._outermost: list[tuple[str, Any]] = []

    def read(self, text: str) -> object:
        return json.loads(
            text,
            object_pairs_hook=self._object,
            parse_float=self._float,
            parse_int=self._int,
            parse_constant=self._constant,
        )

    @property
    def twice(self) -> frozenset[str]:
        counts = Counter(name for name, _ in self._outermost)
        return frozenset(name for name, count in counts.items() if count > 1)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._outermost = pairs  # the outermost one is complete last
        return dict(pairs)

    def _float(self, text: str) -> float:
        number = float(text)
        if math.isinf(number):
            self.problem = "a number is too large"
        return number

    def _int(self, text: str) -> int:
        if len(text.lstrip("-")) > DOUBLE_DIGITS:
            self.problem = "a number is too large"
            return 0
        return int(text)

    def _constant(self, _name: str) -> None:
        self.problem = "NaN and Infinity are not JSON"


def _problem_of(value: bytes, data: dict[str, Any]) -> str:
    if value.count(b"{") + value.count(b"[") > MAX_NESTING and _is_too_deep(data):
        return f"nested deeper than {MAX_NESTING} levels"
    if _HALF_PAIR.search(value):
        try:
            json.dumps(data, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return "half of a surrogate pair is not text"
    return ""


def _is_too_deep(data: dict[str, Any]) -> bool:
    """Level by level: a recursion could itself be too deep."""
    level: list[Any] = [data]
    for _ in range(MAX_NESTING):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
