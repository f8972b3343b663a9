"""Help that people read: of every command, also of those inside others."""

import click
import pytest

from agentsched.cli.main import COMMANDS, cli


def every_command():
    """Yield (names, command) of all, groups and what is in them."""
    waiting = [((name,), cli.get_command(None, name)) for name in COMMANDS]
    while waiting:
        names, command = waiting.pop()
        yield names, command
        if isinstance(command, click.Group):
            waiting += [((*names, k), v) for k, v in command.commands.items()]


ALL = {" ".join(names): command for names, command in every_command()}


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


def test_the_commands_on_dead_letters_are_there():
    assert {"list", "show", "replay", "purge"} == set(ALL["dead-letters"].commands)
