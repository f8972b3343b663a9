"""Reads requests from text: which format it is, and what each line asks; sends nothing.

No error that this module words repeats a line.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TextIO

from agentsched.errors import CodecError
from agentsched.types import Message, Reply
from agentsched.wire.codec import decode_message

MAX_LINE_CHARACTERS = 16_777_216
"""Far above any `limits.request_max_bytes` that makes sense; what is longer is no text."""


class Format(StrEnum):
    """What a line is."""

    TEXT = "text"
    """A prompt."""
    JSON = "json"
    """A request: a JSON object with the fields of the wire format."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line; or, with `problem`, where no more can be read."""

    number: int
    """From 1."""
    text: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it was read; or, with `problem`, a line that is none."""

    place: int
    """From 1: the line, or the argument."""
    request: Message | None = None
    problem: str = ""


def from_arguments(texts: Iterable[str]) -> Iterator[Asked]:
    """Each argument is a prompt."""
    for place, text in enumerate(texts, 1):
        yield Asked(place, Message(content=text))


def read_lines(stream: TextIO) -> Iterator[Line]:
    """Return lines that are not blank as they come; what cannot be read is the last."""
    number = 0
    while True:
        number += 1
        try:
            text = stream.readline(MAX_LINE_CHARACTERS)
        except UnicodeDecodeError:
            yield Line(number, problem="not UTF-8 here or soon after; reading ends")
            return
        if len(text) == MAX_LINE_CHARACTERS:
            yield Line(number, problem="far too long; reading ends")
            return
        if not text:
            return
        if text := text.strip():
            yield Line(number, text)


def recognise(lines: Iterator[Line]) -> tuple[Format, Iterator[Line]]:
    """Return the format, as the first line shows it, and all of the lines again."""
    first = next(lines, None)
    if first is None:
        return Format.TEXT, iter(())
    format_ = Format.JSON if _is_object(first.text) else Format.TEXT
    return format_, itertools.chain([first], lines)


def parse(lines: Iterable[Line], format_: Format) -> Iterator[Asked]:
    """Return what each line asks."""
    for line in lines:
        if line.problem:
            yield Asked(line.number, problem=line.problem)
        elif format_ is Format.TEXT:
            yield Asked(line.number, Message(content=line.text))
        else:
            yield _from_json(line.number, line.text)


def parse_params(pairs: Iterable[str]) -> dict[str, Any]:
    """Turn `k=v` into parameters; a value is JSON (`0.2`, `true`), else text.

    Raises:
        ValueError: names what is no pair.
    """
    params = {}
    for pair in pairs:
        key, is_pair, text = pair.partition("=")
        if not is_pair or not key:
            raise ValueError(f"{pair!r} is no parameter: write name=value")
        try:
            params[key] = json.loads(text)
        except ValueError:
            params[key] = text
    return params


def with_defaults(request: Message, defaults: Mapping[str, Any]) -> Message:
    """Fill in what a request does not say itself."""
    missing = {k: v for k, v in defaults.items() if k not in request.model_fields_set}
    return Message.model_validate(request.model_dump(exclude_unset=True) | missing)


def _from_json(place: int, line: str) -> Asked:
    if not _is_object(line):
        return Asked(place, problem="not a JSON object")
    fields = {
        key: value for key, value in json.loads(line).items() if value is not None
    }
    if unknown := fields.keys() - Message.model_fields.keys():
        # A bridge would ignore it; whoever misspelt `priority` wants to know.
        return Asked(place, problem=f"unknown field {min(unknown)!r}")
    try:
        message = decode_message(json.dumps(fields).encode())
    except CodecError as error:
        return Asked(place, problem=error.detail)
    if isinstance(message, Reply):
        return Asked(place, problem="a reply (it has a status), no request")
    return Asked(place, message)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
