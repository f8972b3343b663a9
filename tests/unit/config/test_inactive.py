"""What is accepted and does nothing yet is said to be so, wherever it is described."""

import re
from pathlib import Path

import pytest

from agentsched.client.request_record import RequestOptions
from agentsched.config.catalogue import walk
from agentsched.config.loader import parse_settings
from agentsched.config.section import Inactive, named
from agentsched.scheduling.order import rank
from tests.support.requests import facts

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text("utf-8")
WIRE = (ROOT / "docs/reference/wire-format.md").read_text("utf-8")
SETTINGS = [
    named(path).replace("[0]", "") for path, each in walk() if each.marked(Inactive)
]
FIELDS = ["agent_group", "token_count"]
"""Fields of a request that change nothing."""


def not_active_yet():
    return README.split("\n## Not active yet\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("name", [*SETTINGS, *FIELDS])
def test_the_readme_names_it(name):
    assert f"`{name}`" in not_active_yet()


@pytest.mark.parametrize("name", FIELDS)
def test_the_wire_format_says_so(name):
    (row, *_) = re.findall(rf"^\| `{name}` .*$", WIRE, re.MULTILINE)
    assert "not active yet" in row


@pytest.mark.parametrize("name", FIELDS)
def test_the_client_says_so(name):
    source = (ROOT / "agentsched/client/request_record.py").read_text("utf-8")
    assert name in RequestOptions.__annotations__
    assert re.search(rf' {name}: \w+\n    """[^"]*not active yet', source)


def test_whoever_sets_a_group_is_told():
    text = "agents: [{id: a, group: g, weight: 2}]"
    assert parse_settings(text).notes[:2] == (
        "`agents.group` is accepted and not active yet",
        "`agents.weight` is accepted and not active yet",
    )


def test_it_is_true_that_they_change_nothing():
    # Whoever makes them count removes them from FIELDS, and the marks with them.
    assert rank(facts(group="a", tokens=1)) == rank(facts(group="b", tokens=9))
