"""Owns `agentsched dead-letters replay`: puts records back on their input topic."""

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from agentsched.cli.dead_letters_selection import (
    Choice,
    choice,
    choosing,
    scanning,
    tell_missing,
    tracked,
)
from agentsched.cli.terminal_text import one_line
from agentsched.kafka.librdkafka import producer_properties
from agentsched.kafka.producer import Producer
from agentsched.kafka.readers.single_record import read_record
from agentsched.kafka.readers.topic_scan import TopicScan
from agentsched.operations.dead_letters.replay import Replay, Replayer, ReplayOutcome
from agentsched.operations.dead_letters.search import (
    Found,
    Search,
    search,
    whole_letters,
)
from agentsched.wire.dead_letters import place

COLOURS = {ReplayOutcome.REFUSED: "yellow", ReplayOutcome.FAILED: "red"}


@click.command("replay")
@click.argument("places", nargs=-1, metavar="[PLACE]...")
@choosing
@click.option("--limit", type=click.IntRange(1), help="Only the oldest so many.")
@click.option("--again", is_flag=True, help="Also those that were replayed before.")
@click.option("--dry-run", is_flag=True, help="Only say what would be replayed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def replay(  # noqa: PLR0913  (one for each option)
    *,
    places: tuple[str, ...],
    limit: int | None,
    again: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **asked: object,
) -> None:
    """Put dead letters back on their input topics.

    A record that was never answered is sent as it was: same topic, key, value, headers
    and identity. One that got a failed reply as well (POISON) gets a new
    correlation_id, because the old one has its answer; a header `replay_of` says where
    it comes from. What would be a dead letter again is not sent, and the reason is said.

    A replay may be interrupted and repeated: what was replayed is noted beside the dead
    letter and left out the next time (--again sends it all the same).

    \b
      agentsched dead-letters replay high_priority:0:12
      agentsched dead-letters replay --reason TOO_LARGE --since 1d --dry-run
    """  # noqa: D301  (click's mark for lines that stay)
    chosen = choice(places=places, **asked)  # type: ignore[arg-type]
    with scanning(chosen) as scan:
        result = search(scan, chosen.topics, chosen.wanted, tracked)
        tell_missing(result.missing, result.strange)
        todo = _choose(result, limit, again=again)
        if todo and not dry_run and not yes:
            _ask(todo)
        done = _replay(scan, chosen, todo, dry_run=dry_run)
        counts: Counter[ReplayOutcome] = Counter()
        for each in done:
            counts[each.outcome] += 1
            _tell(each, as_json=as_json)
    missed = chosen.wanted.places - {each.letter.at for each in result.found}
    for at in sorted(map(place, missed)):
        click.echo(f"{at}: no dead letter", err=True)
    total = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    click.echo(total or "nothing to replay", err=as_json)
    sys.exit(
        1
        if missed or counts[ReplayOutcome.REFUSED] or counts[ReplayOutcome.FAILED]
        else 0
    )


def _choose(result: Search, limit: int | None, *, again: bool) -> list[Found]:
    todo = [each for each in result.found if again or each.replayed is None]
    if before := len(result.found) - len(todo):
        click.echo(f"{before} replayed before, left out (--again)", err=True)
    if result.dropped:
        click.echo(
            f"{result.dropped} older ones are left out: too many at once; replay these,"
            " then call it again",
            err=True,
        )
    return todo[:limit]


def _ask(todo: list[Found]) -> None:
    """Ask before many are sent."""
    if len(todo) == 1:
        return
    reasons = Counter(each.letter.reason for each in todo)
    listed = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"{len(todo)} dead letters ({listed}) would be replayed: say --yes, or"
            " --dry-run to see them"
        )
    click.confirm(f"Replay {len(todo)} dead letters ({listed})?", abort=True, err=True)


def _replay(
    scan: TopicScan, chosen: Choice, todo: list[Found], *, dry_run: bool
) -> Iterator[Replay]:
    settings = chosen.settings
    letters = whole_letters(scan, [each.letter.at for each in todo])
    with contextlib.ExitStack() as stack:
        sink = None
        if not dry_run and todo:
            keys = producer_properties(
                settings.kafka,
                delivery_timeout_s=settings.timing.delivery_timeout_s,
                value_max_bytes=settings.limits.request_max_bytes,
            )
            sink = Producer(settings.kafka.bootstrap_servers, properties=keys)
            stack.enter_context(contextlib.closing(sink))
        replayer = Replayer(settings, partial(read_record, settings.kafka), sink)
        yield from _counted(replayer.replay(letters), len(todo))


def _counted(done: Iterable[Replay], most: int) -> Iterator[Replay]:
    console = Console(stderr=True)
    if not console.is_terminal or sys.stdout.isatty():
        yield from done  # the lines themselves show how far it is
        return
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield from progress.track(done, total=most)


def _tell(done: Replay, *, as_json: bool) -> None:
    letter = done.letter
    if as_json:
        line = {
            "place": place(letter.at),
            "outcome": done.outcome.value,
            "why": done.why or None,
            "to": place(done.to) if done.to else None,
            "correlation_id": done.correlation_id or None,
        }
        click.echo(json.dumps(line))
        return
    where = f" to {place(done.to)}" if done.to else ""
    new = (
        f" as {done.correlation_id}"
        if letter.was_answered and done.correlation_id
        else ""
    )
    why = f": {done.why}" if done.why else ""
    line_ = f"{place(letter.at)} ({letter.reason}) {done.outcome}{where}{new}{why}"
    click.secho(one_line(line_, 400), fg=COLOURS.get(done.outcome))
