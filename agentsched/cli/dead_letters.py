"""Owns `agentsched dead-letters`, and of it `list` and `show`; they change nothing."""

import json
import sys
import time

import click
from rich.console import Console

from agentsched.cli.dead_letters_purge import purge
from agentsched.cli.dead_letters_replay import replay
from agentsched.cli.dead_letters_selection import (
    choice,
    choosing,
    scanning,
    tell_missing,
    tracked,
)
from agentsched.cli.dead_letters_tables import (
    content_json,
    found_json,
    letter_json,
    show_content,
    show_found,
    show_letter,
)
from agentsched.kafka.readers.single_record import read_record
from agentsched.operations.dead_letters.search import Found, search, whole_letters
from agentsched.wire.dead_letters import place
from agentsched.wire.records import RecordAt


@click.group("dead-letters")
def command() -> None:
    """Look at records that could not be answered, replay them, delete them.

    A dead letter is a record that names nobody, or not for certain, or that ends the
    processes that run it: it is kept with the reason in TOPIC.dead_letter. What each
    reason means stands in docs/errors.md.
    """


command.add_command(replay)
command.add_command(purge)


@command.command("list")
@choosing
@click.option(
    "--replayed/--not-replayed", default=None, help="Only what was replayed, or not."
)
@click.option(
    "--limit",
    type=click.IntRange(1, 50_000),
    default=50,
    show_default=True,
    help="The newest so many.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(*, limit: int, as_json: bool, **asked: object) -> None:
    """List dead letters, the newest last; no content is shown.

    "place" is where the dead letter is, as TOPIC:PARTITION:OFFSET without
    `.dead_letter`; "source" is PARTITION:OFFSET of the record on that input topic.

    \b
      agentsched dead-letters list --since 2h --reason MALFORMED
      agentsched dead-letters list --agent planner --not-replayed --json
    """  # noqa: D301  (click's mark for lines that stay)
    chosen = choice(**asked)  # type: ignore[arg-type]
    with scanning(chosen) as scan:
        result = search(scan, chosen.topics, chosen.wanted, tracked)
    shown = result.found[-limit:]
    now_ms = round(time.time() * 1000)
    if as_json:
        for each in shown:
            click.echo(json.dumps(found_json(each, now_ms)))
    elif shown:
        show_found(Console(), shown, now_ms)
    tell_missing(result.missing, result.strange)
    total = len(result.found) + result.dropped
    note = (
        f", the newest {len(shown)} are shown (--limit)" if len(shown) < total else ""
    )
    click.echo(f"{total} dead letters{note}", err=as_json)


@command.command("show")
@click.argument("where", metavar="PLACE")
@click.option("--content", "with_content", is_flag=True, help="Show the value, too.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON, for programs.")
def show(where: str, *, with_content: bool, as_json: bool) -> None:
    """Show one dead letter: why, where it comes from, its key and headers.

    PLACE is TOPIC:PARTITION:OFFSET as `list` shows it; a part of the topic's name that
    no other has is enough, and without PARTITION it is 0. The value may hold a prompt:
    --content shows it.

    \b
      agentsched dead-letters show high_priority:0:12
      agentsched dead-letters show high:12 --content
    """  # noqa: D301  (click's mark for lines that stay)
    chosen = choice(places=(where,))
    (at,) = chosen.wanted.places
    with scanning(chosen) as scan:
        result = search(scan, chosen.topics, chosen.wanted, tracked)
        letters = list(whole_letters(scan, [at])) if result.found else []
    if not letters:
        tell_missing(result.missing)
        raise click.ClickException(_nothing_at(at))
    found, (letter,) = result.found[0], letters
    value = letter.record.value
    if with_content and "value_omitted_bytes" in letter.omitted:
        source = read_record(chosen.settings.kafka, letter.source)
        value = source.value if source and letter.is_from(source) else None
    whole = Found(letter, found.replayed)
    if as_json:
        shown = letter_json(whole, round(time.time() * 1000))
        more = content_json(value) if with_content else {}
        click.echo(json.dumps(shown | more))
        return
    console = Console(highlight=False)
    show_letter(console, letter, found.replayed)
    if with_content:
        show_content(console, value)
    elif sys.stdout.isatty():
        console.print("--content shows the value", style="dim")


def _nothing_at(at: RecordAt) -> str:
    return (
        f"no dead letter at {place(at)}: it was purged or is older than Kafka keeps, or"
        " it is another place; `agentsched dead-letters list` shows what is there"
    )
