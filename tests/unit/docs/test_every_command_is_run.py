"""No command stands in README or docs that no test runs, unless its reason is listed."""

import re

import pytest

from tests.support.guides import (
    ELSEWHERE,
    NOT_RUN,
    PAGES,
    ROOT,
    RUN_BY,
    all_blocks,
    all_commands,
    bare,
    commands,
)

LANGUAGES = {"sh", "python", "yaml", "json", "text", "mermaid"}
PROGRAMS = (
    "agentsched",
    *(
        "bash",
        "celery",
        "cd",
        "cp",
        "curl",
        "docker",
        "export",
        "git",
        "kill",
        "kubectl",
    ),
    *("make", "pip", "pkill", "poetry", "psql", "python", "redis-cli", "uv"),
)
LOOKS_LIKE_A_COMMAND = re.compile(
    rf"^\s*(\$ )?([A-Z_]+=\S* )*(\S*bin/)?({'|'.join(PROGRAMS)}) (?!says|:)"
)
OUTPUT = {"docs/reference/cli.md", "docs/reference/configuration.md"}
"""Made from the code, with usages and examples: test_cli_help.py parses those."""
TEXT = {page: (ROOT / page).read_text("utf-8") for page in PAGES}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_has_a_test_or_a_reason(page):
    if commands(page):
        test = (ROOT / RUN_BY[page]).read_text("utf-8")
        assert page.removeprefix("docs/") in test


@pytest.mark.parametrize("page", PAGES)
def test_a_block_says_what_is_in_it(page):
    assert {language for language, _ in all_blocks(page)} <= LANGUAGES


@pytest.mark.parametrize("page", sorted(set(PAGES) - OUTPUT))
def test_commands_stand_in_no_other_kind_of_block(page):
    fenced = [
        line
        for language, text in all_blocks(page)
        if language in {"", "text"}
        for line in text.splitlines()
    ]
    outside = re.sub(r"^```.*?^```$", "", TEXT[page], flags=re.DOTALL | re.MULTILINE)
    indented = re.findall(r"(?<=\n\n) {4}\S.*$", outside, re.MULTILINE)
    lines = [*fenced, *indented]
    assert [line for line in lines if LOOKS_LIKE_A_COMMAND.match(line)] == []


def test_what_is_listed_stands_on_a_page():
    said = {bare(one) for page in PAGES for one in all_commands(page)}
    assert (ELSEWHERE.keys() | NOT_RUN.keys()) - said == set()
    assert RUN_BY.keys() <= set(PAGES)


@pytest.mark.parametrize("test", sorted({*RUN_BY.values(), *ELSEWHERE.values()}))
def test_a_test_that_is_named_is_there(test):
    file, _, function = test.partition("::")
    assert f"def {function}" in (ROOT / file).read_text("utf-8")


def test_no_command_is_listed_twice():
    assert ELSEWHERE.keys() & NOT_RUN.keys() == set()
