"""Writes docs/reference/cli.md from the commands themselves.

`python -m agentsched.cli.reference docs/reference` after a change of a command; a test
compares.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from agentsched.cli.main import COMMANDS, cli

HEAD = """\
# The command `agentsched`

<!-- Made from the commands in agentsched/cli/ by
     `python -m agentsched.cli.reference docs/reference`; do not edit. -->

`python -m agentsched` is the same. `--help` (`-h`) works everywhere, `agentsched
--version` prints the version.

Which Kafka, Redis and models are meant stands in the
[configuration](configuration.md): the file that `AGENTSCHED_CONFIG` names, else
`agentsched.yaml` in the working directory, and the environment. `demo` and `up` need none;
they write one.

| exit code | meaning |
|---|---|
| 0 | fine |
| 1 | something failed, or a problem was found |
| 2 | wrong usage or configuration; nothing was done |
| 130 | interrupted by Ctrl-C |
"""
VERBATIM = "\b"
"""click's mark of a paragraph whose lines are kept: our examples."""


def page() -> str:
    """Return docs/reference/cli.md."""
    parts = [HEAD]
    for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
        parts.append(f"## {section}\n")
        for name, entry in COMMANDS.items():
            if entry.section == section:
                command = cli.get_command(click.Context(cli), name)
                parts += _described(("agentsched", name), command)
    return "\n".join(parts)


def _described(names: tuple[str, ...], command: click.Command | None) -> Iterator[str]:
    """Yield what is said of a command, and of those inside it."""
    if command is None:  # pragma: no cover  (the table names only what there is)
        return
    context = click.Context(command, info_name=" ".join(names))
    usage = " ".join([*names, *command.collect_usage_pieces(context)])
    yield f"### `{' '.join(names)}`\n\n```text\n{usage}\n```\n"
    yield from map(_paragraph, inspect.cleandoc(command.help or "").split("\n\n"))
    yield from _table(command, context)
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _described((*names, name), inner)


def _paragraph(text: str) -> str:
    if text.startswith(VERBATIM):
        lines = inspect.cleandoc(text.removeprefix(VERBATIM))
        return f"```text\n{lines}\n```\n"
    return f"{text}\n"


def _table(command: click.Command, context: click.Context) -> Iterator[str]:
    options = [each for each in command.params if isinstance(each, click.Option)]
    records = [record for each in options if (record := each.get_help_record(context))]
    rows = [f"| `{_cell(option)}` | {_cell(says)} |\n" for option, says in records]
    if rows:
        yield "".join(["| option | what it does |\n|---|---|\n", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("  [", " [")


if __name__ == "__main__":
    Path(sys.argv[1], "cli.md").write_text(page(), "utf-8")
