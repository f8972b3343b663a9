"""Owns `agentsched dead-letters purge`: deletes the oldest dead letters, for good."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import click

from agentsched.cli.dead_letters_selection import (
    Choice,
    choice,
    scanning,
    tell_missing,
    tracked,
)
from agentsched.cli.durations import Moment
from agentsched.kafka.admin.record_deletion import delete_before
from agentsched.kafka.readers.topic_scan import TopicScan
from agentsched.operations.dead_letters.search import LetterFilter, search
from agentsched.wire.records import Partition


@dataclass(frozen=True, slots=True)
class Cut:
    """What goes of one partition."""

    before: int
    """The offset of the first record that stays."""
    records: int
    """Those that go, with markers of replays and what others wrote."""
    letters: int
    not_replayed: int


@click.command("purge")
@click.option(
    "--topic",
    "topics",
    multiple=True,
    help="Only of this input topic, or of the one whose name contains it.",
)
@click.option(
    "--before",
    "before_s",
    type=Moment(),
    help="What became a dead letter earlier: 7d (ago) or 2026-01-31T12:00.",
)
@click.option(
    "--up-to", "up_to", metavar="PLACE", help="This one and all before it, there."
)
@click.option("--all", "everything", is_flag=True, help="All that is there now.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge(  # noqa: PLR0913  (one for each option)
    *,
    topics: tuple[str, ...],
    before_s: float | None,
    up_to: str | None,
    everything: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Delete the oldest dead letters, for good and for everybody.

    Kafka can delete the oldest records of a partition only, up to a point: no single
    ones, and none by reason. So say the point. What you want to keep of that, replay
    first. (Kafka deletes them by itself, too, when `retention.ms` of the topic is over.)
    The embedded broker deletes nothing on request.

    \b
      agentsched dead-letters purge --before 7d
      agentsched dead-letters purge --up-to high_priority:0:12
    """  # noqa: D301  (click's mark for lines that stay)
    if sum((before_s is not None, up_to is not None, everything)) != 1:
        raise click.UsageError("say the point: --before, --up-to or --all")
    if up_to is not None and topics:
        raise click.UsageError("--up-to names its topic: leave --topic out")
    chosen = choice(topics=topics, places=(up_to,) if up_to else ())
    with scanning(chosen) as scan:
        cuts = _cuts(scan, chosen, before_s)
    if not cuts:
        click.echo("nothing to delete")
        return
    for each, cut in cuts.items():
        click.echo(_line(each, cut))
    total = sum(cut.records for cut in cuts.values())
    if dry_run:
        click.echo(f"{total} records would be deleted")
        return
    if not yes:
        _ask(total)
    delete_before(
        chosen.settings.kafka, {each: cut.before for each, cut in cuts.items()}
    )
    click.echo(f"{total} records deleted")


def _cuts(
    scan: TopicScan, chosen: Choice, before_s: float | None
) -> dict[Partition, Cut]:
    ends = _ends(scan, chosen, before_s)
    result = search(scan, chosen.topics, LetterFilter(), tracked)
    tell_missing(result.missing, result.strange)
    cuts: dict[Partition, Cut] = {}
    for each, end in ends.items():
        low = scan.held[each].low
        if low >= end:
            continue
        going = [
            found
            for found in result.found
            if Partition(found.letter.at.topic, found.letter.at.partition) == each
            and found.letter.at.offset < end
        ]
        left = sum(found.replayed is None for found in going)
        cuts[each] = Cut(end, end - low, len(going), left)
    if result.dropped:
        click.echo("there are too many to count: these numbers are too low", err=True)
    return cuts


def _ends(
    scan: TopicScan, chosen: Choice, before_s: float | None
) -> Mapping[Partition, int]:
    if before_s is not None:
        spans = scan.since(round(before_s * 1000))
        return {each: span.low for each, span in spans.items()}
    if not chosen.wanted.places:
        return {each: span.end for each, span in scan.held.items()}
    (at,) = chosen.wanted.places
    partition = Partition(at.topic, at.partition)
    if (span := scan.held.get(partition)) is None or at.offset >= span.end:
        raise click.ClickException(
            f"{at.topic}:{at.partition} has no offset {at.offset}"
        )
    return {partition: at.offset + 1}


def _line(partition: Partition, cut: Cut) -> str:
    left = f", {cut.not_replayed} of them never replayed" if cut.not_replayed else ""
    return (
        f"{partition.topic}:{partition.partition}: {cut.records} records before offset"
        f" {cut.before}, {cut.letters} dead letters{left}"
    )


def _ask(total: int) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{total} records would be deleted: say --yes")
    click.confirm(f"Delete {total} records for good?", abort=True)
