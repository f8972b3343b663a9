"""How dead letters look: complete, and harmless to a terminal."""

import io
import json
from dataclasses import replace

from rich.console import Console

from agentsched.cli.dead_letters_tables import (
    content_json,
    found_json,
    letter_json,
    show_content,
    show_found,
    show_letter,
)
from agentsched.errors import ErrorCode
from agentsched.operations.dead_letters.search import Found
from agentsched.wire.dead_letters import dead_letter_record, read_letter
from agentsched.wire.records import Headers, InboundRecord, RecordAt
from agentsched.wire.replays import Replayed
from tests.support.requests import record

NOW_MS = 1_700_000_240_000
ESCAPE = "\x1b[2J"


def found(body=None, replayed=None, **changes):
    bad = record(7, body or {"correlation_id": "c"}, **changes)
    sent = dead_letter_record(
        bad, "medium_priority:t1:0", ErrorCode.CONFLICT, "it is taken"
    )
    letter = read_letter(
        InboundRecord(
            sent.topic,
            0,
            12,
            NOW_MS - 240_000,
            sent.value,
            Headers.of(sent.headers),
            key=sent.key,
        )
    )
    return Found(letter, replayed)


def printed(show, *arguments, width=120):
    out = io.StringIO()
    show(Console(file=out, width=width), *arguments)
    return out.getvalue()


def test_a_row_says_where_when_why_and_whose():
    text = printed(show_found, (found({"agent_id": "planner", "id": "q"}),), NOW_MS)
    for said in ("medium_priority:0:12", "4 min", "CONFLICT", "planner", "0:7"):
        assert said in text


def test_a_row_says_that_it_was_replayed():
    marker = Replayed(RecordAt("t", 0, 12), RecordAt("medium_priority", 0, 99), 1)
    text = printed(show_found, (found(replayed=marker),), NOW_MS)
    assert "replayed" in text


def test_ids_of_others_do_not_steer_the_terminal():
    bad = {"agent_id": ESCAPE, "correlation_id": f"[red]{ESCAPE}\nsecond line"}
    one = found(bad, headers={f"h{ESCAPE}": ESCAPE}, key=ESCAPE.encode())
    for text in (
        printed(show_found, (one,), NOW_MS),
        printed(show_letter, one.letter, None),
        printed(show_content, ESCAPE.encode()),
    ):
        assert "\x1b" not in text
    assert "[red]" in printed(show_found, (one,), NOW_MS, width=200)


def test_on_a_narrow_terminal_nothing_is_lost():
    one = found({"agent_id": "planner" * 3, "correlation_id": "c" * 36})
    at = RecordAt("medium_priority", 11, 123_456_789)
    letter = replace(one.letter, reason="DEADLINE_EXCEEDED", source=at)
    text = printed(show_found, (replace(one, letter=letter),), NOW_MS, width=80)
    assert "DEADLINE_EXCEEDED" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_details_have_key_and_headers_and_no_value():
    one = found({"content": "SECRET"}, headers={"trace": "1"}, key=b"k")
    text = printed(show_letter, one.letter, None)
    assert "trace = 1" in text
    assert "CONFLICT: it is taken" in text
    assert "SECRET" not in text


def test_the_json_of_a_list_has_all_but_content():
    shown = found_json(found({"content": "SECRET", "agent_id": "a"}), NOW_MS)
    assert shown["place"] == "medium_priority.dead_letter:0:12"
    assert (shown["age_s"], shown["reason"], shown["replayed"]) == (
        240.0,
        "CONFLICT",
        None,
    )
    assert shown["source"]["offset"] == 7
    assert "SECRET" not in json.dumps(shown)


def test_the_json_of_one_has_key_and_headers_that_may_repeat():
    headers = Headers([("h", b"1"), ("h", b"\xff")])
    shown = letter_json(found(headers=headers, key=b"k"), NOW_MS)
    assert (shown["key"], shown["headers"]) == (
        "k",
        [["h", "1"], ["h", "\N{REPLACEMENT CHARACTER}"]],
    )


def test_a_value_that_is_no_text_comes_in_base64():
    assert content_json(b"\xff") == {"value_base64": "/w=="}
    assert content_json(b"x") == {"value": "x"}
    assert content_json(None) == {"value": None}
