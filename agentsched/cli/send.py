"""Owns `agentsched send`: its options, and where requests are read from."""

import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

import click

from agentsched.cli.durations import Duration
from agentsched.cli.send_batch import ask_all, post_all
from agentsched.cli.send_input import (
    Asked,
    Format,
    from_arguments,
    parse,
    parse_params,
    read_lines,
    recognise,
    with_defaults,
)
from agentsched.client.client import MAX_OUTSTANDING
from agentsched.config.loader import load_settings
from agentsched.types import DEFAULT_AGENT_ID, Priority, TaskType


@click.command("send")
@click.argument("texts", metavar="[PROMPT]...", nargs=-1)
@click.option(
    "--file",
    "-f",
    "stream",
    type=click.File(encoding="utf-8"),
    help="Read one request a line from here; `-` is stdin, also the default.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", *(each.value for each in Format)]),
    default="auto",
    show_default=True,
    help="Of the lines: prompts, or JSON objects with the fields of a request.",
)
@click.option(
    "--class",
    "priority",
    type=click.Choice([each.value for each in Priority]),
    help="How urgent. Default: medium.",
)
@click.option("--model", "model_id", help="Default: any that serves the task type.")
@click.option(
    "--agent",
    "agent_id",
    default=DEFAULT_AGENT_ID,
    show_default=True,
    help="In whose name.",
)
@click.option(
    "--task-type",
    type=click.Choice([each.value for each in TaskType]),
    help="What kind of work. Default: text_generation.",
)
@click.option(
    "--ttl",
    "ttl_s",
    type=Duration(),
    help="How long an answer is of use: 30s, 10m, ...  [default: limits.ttl_s]",
)
@click.option(
    "--param",
    "pairs",
    metavar="NAME=VALUE",
    multiple=True,
    help="Of the chat completion, such as temperature=0.2; may be repeated.",
)
@click.option(
    "--run-ahead",
    type=click.IntRange(1, MAX_OUTSTANDING),
    default=1000,
    show_default=True,
    help="How many requests may be without a reply before the next is read.",
)
@click.option("--no-wait", is_flag=True, help="Print the ids once Kafka has them.")
def command(  # noqa: PLR0913  (one for each option)
    texts: tuple[str, ...],
    stream: TextIO | None,
    format_: str,
    pairs: tuple[str, ...],
    run_ahead: int,
    *,
    no_wait: bool,
    **defaults: Any,  # noqa: ANN401  (the fields of a request)
) -> None:
    """Send requests, and print each reply as a line of JSON when it comes.

    Requests are the arguments, or the lines of a file or of stdin: plain prompts, or
    JSON objects (`{"content": "...", "priority": "high"}`); what a line says itself
    wins over the options. `id` in a reply is the number of the line, or its
    `correlation_id` where the line names one.

    A line that names a `correlation_id` and is sent again as it was gets the same
    reply again; a line of other content under an id in use is refused (CONFLICT).

    The exit code is 0 only if every request was completed.

    \b
    agentsched send "How does the internet work?"
    agentsched send --class low --file prompts.txt > replies.jsonl
    """  # noqa: D301  (click wants this very character)
    settings = load_settings().settings
    try:
        defaults["params"] = parse_params(pairs) or None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    given = {key: value for key, value in defaults.items() if value is not None}
    requests = _completed(_read(texts, stream, format_), given)
    if no_wait:
        is_good = post_all(settings, requests, run_ahead)
    else:
        is_good = ask_all(settings, requests, run_ahead)
    sys.exit(0 if is_good else 1)


def _read(
    texts: tuple[str, ...], stream: TextIO | None, format_: str
) -> Iterator[Asked]:
    if texts and stream:
        raise click.UsageError("give prompts or --file, not both")
    if texts:
        return from_arguments(texts)
    if stream is None and sys.stdin.isatty():
        raise click.UsageError(
            "nothing to send: give a prompt, --file, or pipe lines in"
        )
    stream = stream or cast("TextIO", click.open_file("-", encoding="utf-8"))
    lines = read_lines(stream)
    found, lines = recognise(lines)
    chosen = found if format_ == "auto" else Format(format_)
    what = "JSON lines" if chosen is Format.JSON else "plain text, a prompt a line"
    click.echo(f"reading {what}, from {stream.name}", err=True)
    return parse(lines, chosen)


def _completed(asked: Iterator[Asked], defaults: dict[str, Any]) -> Iterator[Asked]:
    for one in asked:
        if one.request is None:
            yield one
            continue
        # Whoever names a request sends it again from another line as the same one.
        labels = {"id": one.request.correlation_id or str(one.place)}
        yield Asked(one.place, with_defaults(one.request, labels | defaults))
