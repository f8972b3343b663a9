"""Owns how dead letters look: on a terminal, and as JSON for programs."""

import base64
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentsched.cli.terminal_text import many_lines, one_line
from agentsched.operations.dead_letters.search import Found, short_place
from agentsched.operations.durations import span
from agentsched.wire.dead_letters import DeadLetter, place
from agentsched.wire.records import Headers, RecordAt
from agentsched.wire.replays import Replayed

ID_CHARACTERS = 40
VALUE_CHARACTERS = 200


def show_found(console: Console, found: tuple[Found, ...], now_ms: int) -> None:
    """One row for each, the oldest first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("place", "when", "age", "reason", "agent", "id"):
        # A word that people search for stays whole; what is long anyway is folded.
        whole = title in ("age", "reason")
        table.add_column(title, overflow="fold", no_wrap=whole)
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("source", overflow="fold")
    for each in found:
        letter = each.letter
        table.add_row(
            Text(short_place(letter.at)),
            f"{_local(letter.timestamp_ms):%m-%d %H:%M:%S}",
            span(now_ms - letter.timestamp_ms),
            Text(letter.reason + ("\nreplayed" if each.replayed else "")),
            Text(one_line(letter.agent_id, ID_CHARACTERS) or "-"),
            Text(one_line(letter.correlation_id, ID_CHARACTERS) or "-"),
            f"{letter.value_bytes:,}",
            f"{letter.source.partition}:{letter.source.offset}",
            style="dim" if each.replayed else None,
        )
    console.print(table)


def found_json(found: Found, now_ms: int) -> dict[str, Any]:
    """Everything but the content, for programs."""
    letter = found.letter
    return {
        "place": place(letter.at),
        **_at(letter.at),
        "time": _iso(letter.timestamp_ms),
        "age_s": round((now_ms - letter.timestamp_ms) / 1000, 3),
        "reason": letter.reason,
        "detail": letter.detail,
        "agent_id": letter.agent_id or None,
        "correlation_id": letter.correlation_id or None,
        "bytes": letter.value_bytes,
        "omitted": sorted(letter.omitted),
        "source": {
            **_at(letter.source),
            "time": _iso(letter.source_timestamp_ms),
        },
        "replayed": _replayed(found.replayed),
    }


def show_letter(
    console: Console, letter: DeadLetter, replayed: Replayed | None
) -> None:
    """Where it is, why, and its headers; no content."""
    rows = {
        "dead letter": place(letter.at),
        "since": _iso(letter.timestamp_ms),
        "reason": f"{letter.reason}: {letter.detail}",
        "agent": letter.agent_id or "-",
        "id": letter.correlation_id or "-",
        "source": f"{place(letter.source)}, {_iso(letter.source_timestamp_ms)}",
        "key": _text(letter.record.key) or "-",
        "value": f"{letter.value_bytes:,} bytes",
        "not kept": ", ".join(f"{k} {v}" for k, v in letter.omitted.items()),
    }
    if replayed is not None:
        rows["replayed"] = f"{_iso(replayed.timestamp_ms)}, to {place(replayed.to)}"
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            table.add_row(name, Text(one_line(value, VALUE_CHARACTERS)))
    for name, header in Headers.of(letter.record.headers).pairs:
        shown = f"{name} = {_text(header)}"
        table.add_row("header", Text(one_line(shown, VALUE_CHARACTERS)))
    console.print(table)


def show_content(console: Console, value: bytes | None) -> None:
    """The value itself, as text."""
    if value is None:
        console.print("no value", style="dim")
    else:
        text = many_lines(value.decode("utf-8", "replace"))
        console.print(Text(text), soft_wrap=True)


def letter_json(found: Found, now_ms: int) -> dict[str, Any]:
    """As `found_json`, with key and headers."""
    record = found.letter.record
    headers = [[name, _text(value)] for name, value in Headers.of(record.headers).pairs]
    key = None if record.key is None else _text(record.key)
    return found_json(found, now_ms) | {"key": key, "headers": headers}


def content_json(value: bytes | None) -> dict[str, Any]:
    """The value as text, or in Base64 where it is none."""
    if value is None:
        return {"value": None}
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(value).decode()}


def _replayed(replayed: Replayed | None) -> dict[str, Any] | None:
    if replayed is None:
        return None
    return {"time": _iso(replayed.timestamp_ms), "to": _at(replayed.to)}


def _at(at: RecordAt) -> dict[str, Any]:
    return {"topic": at.topic, "partition": at.partition, "offset": at.offset}


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "replace")


def _local(timestamp_ms: int) -> datetime:
    return datetime.fromtimestamp(max(0, timestamp_ms) / 1000, UTC).astimezone()


def _iso(timestamp_ms: int) -> str:
    return _local(timestamp_ms).isoformat(timespec="milliseconds")
