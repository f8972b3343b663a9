"""Help that people read: of every command, also of those inside others."""

import re
import shlex
from pathlib import Path

import click
import pytest

from agentsched.cli.main import COMMANDS, cli
from agentsched.cli.reference import page


def every_command():
    """Yield (names, command) of all, groups and what is in them."""
    waiting = [((name,), cli.get_command(None, name)) for name in COMMANDS]
    while waiting:
        names, command = waiting.pop()
        yield names, command
        if isinstance(command, click.Group):
            waiting += [((*names, k), v) for k, v in command.commands.items()]


ALL = {" ".join(names): command for names, command in every_command()}
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
BLOCKS = re.findall(r"```text\n(.*?)```", page(), re.DOTALL)
EXAMPLES = [
    line
    for block in BLOCKS
    for line in block.splitlines()
    # The others are usages.
    if "[OPTIONS]" not in line
]


@pytest.mark.parametrize("name", ALL)
def test_its_examples_stand_on_lines_of_their_own(name):
    said = ALL[name].get_help(click.Context(ALL[name], info_name=name))
    assert "\\b" not in said
    for line in said.splitlines():
        # A line that was wrapped into another one would name it in the middle.
        assert "  agentsched " not in line.strip()


@pytest.mark.parametrize("name", ALL)
def test_it_says_what_it_is_for(name):
    assert ALL[name].help


@pytest.mark.parametrize("name", ALL)
def test_every_option_says_what_it_does(name):
    options = [each for each in ALL[name].params if isinstance(each, click.Option)]
    assert [each.opts for each in options if not each.help] == []


def test_the_page_of_commands_is_the_one_that_is_made():
    assert PAGE.read_text("utf-8") == page(), (
        "make it again: python -m agentsched.cli.reference docs/reference"
    )


def test_the_page_has_every_command():
    text = page()
    assert [name for name in ALL if f"### `agentsched {name}`\n" not in text] == []


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_is_a_right_command_line(line, tmp_path, monkeypatch):
    """Parsed, not run: options and arguments are what the command takes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.txt").touch()
    words = shlex.split(line.partition(">")[0].partition("&&")[0])[1:]
    name = max((n for n in ALL if words[: len(n.split())] == n.split()), key=len)
    with ALL[name].make_context(name, words[len(name.split()) :]):
        pass  # the end of it closes files


def test_the_commands_on_dead_letters_are_there():
    assert {"list", "show", "replay", "purge"} == set(ALL["dead-letters"].commands)
