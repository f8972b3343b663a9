"""docs/reference/wire-format.md lists what the code reads and writes."""

import re
from pathlib import Path

import pytest

from agentsched.errors import ErrorCode
from agentsched.types import Message, Reply
from agentsched.wire.conflicts import conflict_record
from agentsched.wire.dead_letters import dead_letter_record
from agentsched.wire.records import RecordAt
from agentsched.wire.replays import marker_record
from agentsched.wire.replies import reply_record
from agentsched.wire.source_record import ONLY_DEAD_LETTERS
from tests.support.requests import facts, record

PAGE = (Path(__file__).parents[3] / "docs/reference/wire-format.md").read_text("utf-8")


def section(title):
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def listed(text):
    """The names in the first column of its tables."""
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_field_of_a_request_is_there():
    assert listed(section("Requests")) - {"traceparent", "kind: cancel"} == set(
        Message.model_fields
    )


def test_every_field_that_only_a_reply_has_is_there():
    assert Reply.model_fields.keys() - Message.model_fields.keys() <= listed(
        section("Replies")
    )


def test_every_error_code_is_there_as_reply_or_as_dead_letter():
    replies = listed(section("Replies").split("### Error codes")[1])
    assert replies == set(ErrorCode) - ONLY_DEAD_LETTERS
    assert listed(section("Dead letters")) >= ONLY_DEAD_LETTERS


@pytest.mark.parametrize(
    ("title", "headers"),
    [
        ("Replies", reply_record(facts(), b"{}", "f" * 32).headers),
        ("Conflicts", conflict_record(facts(), "f" * 32).headers),
        (
            "Dead letters",
            dead_letter_record(
                record(0, b"x" * 2_000_000), "t:i:0", ErrorCode.TOO_LARGE, "x"
            ).headers,
        ),
        (
            "Dead letters",
            dead_letter_record(
                record(0, headers={"mine": "x" * 100_000}),
                "t:i:0",
                ErrorCode.CONFLICT,
                "",
            ).headers,
        ),
    ],
)
def test_every_header_that_we_write_is_there(title, headers):
    named = {name.partition(":")[0] for name in listed(section(title))}
    assert set(headers) <= named


def test_the_headers_of_a_replay_are_there():
    at = RecordAt("a.dead_letter", 0, 1)
    names = set(marker_record(at, RecordAt("a", 0, 2)).headers) - {"kind"}
    text = section("Dead letters")
    assert [name for name in names if f"`{name}`" not in text] == []
