"""docs/errors.md has every code, and says of each how it comes."""

import re
from pathlib import Path

import pytest

from agentsched.errors import ErrorCode
from tests.support.bad_input import ANSWERED, DEAD

PAGE = (Path(__file__).parents[3] / "docs" / "errors.md").read_text("utf-8")
ROWS = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \|", PAGE, re.MULTILINE))


def test_it_has_a_row_for_every_code_in_the_order_of_the_code():
    assert list(ROWS) == [code.value for code in ErrorCode]


@pytest.mark.parametrize("bad", ANSWERED, ids=str)
def test_what_is_answered_is_called_a_failed_reply(bad):
    assert ROWS[bad.code].startswith("failed reply")


@pytest.mark.parametrize("bad", DEAD, ids=str)
def test_what_is_not_is_called_a_dead_letter(bad):
    assert ROWS[bad.code] == "dead letter"


def test_the_page_names_no_code_that_does_not_exist():
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+|POISON|CONFLICT)`", PAGE))
    assert named <= {code.value for code in ErrorCode} | {"MSG_SIZE_TOO_LARGE"}
