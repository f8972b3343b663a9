"""Owns `agentsched config`: what is wrong, what counts, and what there is to set."""

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentsched.config.effective import Value, effective
from agentsched.config.loader import LoadedSettings, load_settings
from agentsched.config.problems import (
    InvalidSettings,
    Problem,
    as_json,
)
from agentsched.config.reference import json_schema, reference
from agentsched.config.sample import sample
from agentsched.config.section import named
from agentsched.errors import ConfigurationError
from agentsched.preflight import preflight

WRONG = 2
PIPE_WIDTH = 200

as_json_option = click.option(
    "--json", "as_text", is_flag=True, help="Print JSON, for scripts."
)


@click.group("config")
def command() -> None:
    """Check, show and explain the configuration.

    It is read from $AGENTSCHED_CONFIG (default agentsched.yaml) and the environment:
    AGENTSCHED__SECTION__KEY, BOOTSTRAP_SERVERS, INPUT_TOPICS, OUTPUT_TOPIC, REDIS_URL,
    SGLANG_BASE_URL. No server is called.
    """


@command.command()
@as_json_option
def check(*, as_text: bool) -> None:
    """Say everything that is wrong, with line, value and fix.

    Exit code 0: bridges and workers would start with it. 2: they would not.
    """
    loaded, problems, text = _checked()
    notes = loaded.notes if loaded else ()
    if as_text:
        listed = [as_json(each) for each in problems]
        answer = {"ok": not problems, "problems": listed, "notes": notes}
        click.echo(json.dumps(answer, indent=2))
    elif problems:
        click.secho(text, fg="red", err=True)
    else:
        click.secho(text, fg="green")
        for note in notes:
            click.echo(f"note: {note}")
    sys.exit(WRONG if problems else 0)


@command.command()
@click.argument("prefix", default="")
@as_json_option
def show(prefix: str, *, as_text: bool) -> None:
    """Show what counts, and where each value comes from; secrets are hidden.

    PREFIX keeps what starts with it: `limits`, `models[0]`.
    """
    loaded = load_settings()
    values = [
        value for value in effective(loaded) if named(value.path).startswith(prefix)
    ]
    if not values:
        raise click.BadParameter(f"no setting starts with {prefix!r}")
    if as_text:
        rows = {named(value.path): _as_json(value) for value in values}
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False, title=loaded.source, title_justify="left")
    table.add_column("key", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", overflow="fold")
    for value in values:
        # Text: a value may look like rich's markup.
        table.add_row(
            Text(named(value.path)), Text(_written(value.value)), _where(value)
        )
    # A pipe has no width: a value that is cut would not be found by grep.
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    Console(width=width).print(table, highlight=False)


@command.command("schema")
def print_schema() -> None:
    """Print a JSON schema, with which editors complete and check the file."""
    click.echo(json.dumps(json_schema(), indent=2))


@command.command("sample")
def print_sample() -> None:
    """Print a complete file with comments: every setting with its default."""
    click.echo(sample(), nl=False)


@command.command("reference")
def print_reference() -> None:
    """Print the reference of all settings and variables, in Markdown."""
    click.echo(reference(), nl=False)


def _checked() -> tuple[LoadedSettings | None, tuple[Problem, ...], str]:
    """Return what was loaded, what is wrong, and both in words."""
    try:
        loaded = load_settings()
    except InvalidSettings as error:
        return None, error.problems, str(error)
    except ConfigurationError as error:
        return None, (Problem((), str(error)),), str(error)
    if found := preflight(loaded.settings):
        origin = loaded.draft.origin
        problems = [Problem(path, text, origin(path)) for path, text in found]
        refusal = InvalidSettings(loaded.source, problems)
        return loaded, refusal.problems, str(refusal)
    return loaded, (), _fine(loaded)


def _fine(loaded: LoadedSettings) -> str:
    models, agents = len(loaded.settings.models), len(loaded.settings.agents)
    kinds = [value.kind for value in effective(loaded)]
    return (
        f"{loaded.source} is fine: {models} model(s), {agents} agent(s);"
        f" {kinds.count('file')} value(s) from the file,"
        f" {kinds.count('variable')} from variables"
    )


def _as_json(value: Value) -> dict[str, Any]:
    return {
        "value": value.value,
        "from": value.kind,
        "file": value.origin.file or None,
        "line": value.origin.line or None,
        "variable": value.origin.variable or None,
    }


def _where(value: Value) -> str:
    origin = value.origin
    in_file = f"line {origin.line}" if origin.file else value.kind
    return origin.variable or origin.derived or in_file


def _written(value: Any) -> str:  # noqa: ANN401  (any value of JSON)
    return value if isinstance(value, str) and value else json.dumps(value)
