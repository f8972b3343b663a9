"""Owns what the commands on dead letters share: which are meant, and how they are read."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from agentsched.cli.durations import Moment
from agentsched.config.loader import load_settings
from agentsched.config.settings import Settings
from agentsched.errors import ErrorCode
from agentsched.kafka.readers.topic_scan import TopicScan
from agentsched.operations.dead_letters.search import (
    LetterFilter,
    NoSuchPlace,
    letter_topic,
    parse_place,
)
from agentsched.wire.dead_letters import dead_letter_topic
from agentsched.wire.records import InboundRecord, RecordAt

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--reason",
        "reasons",
        multiple=True,
        type=click.Choice([code.value for code in ErrorCode], case_sensitive=False),
        metavar="CODE",
        help="Only with this reason, such as MALFORMED; may be repeated.",
    ),
    click.option("--agent", "agent_id", help="Only of this agent."),
    click.option("--id", "correlation_id", help="Only with this correlation_id or id."),
    click.option(
        "--since", "since_s", type=Moment(), help="Not older: 2h or 2026-01-31T12:00."
    ),
    click.option("--until", "until_s", type=Moment(), help="Not newer."),
    click.option(
        "--topic",
        "topics",
        multiple=True,
        help="Only of this input topic, or of the one whose name contains it.",
    ),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters somebody asked for."""

    settings: Settings
    topics: tuple[str, ...]
    """Dead-letter topics to read."""
    wanted: LetterFilter


def choosing(command: Command) -> Command:
    """Add the options that choose dead letters to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def choice(  # noqa: PLR0913  (one for each option)
    *,
    reasons: tuple[str, ...] = (),
    agent_id: str | None = None,
    correlation_id: str | None = None,
    since_s: float | None = None,
    until_s: float | None = None,
    topics: tuple[str, ...] = (),
    replayed: bool | None = None,
    places: tuple[str, ...] = (),
) -> Choice:
    """Make a choice of what was typed.

    Raises:
        ConfigurationError: the configuration is wrong.
        UsageError: a topic or a place is none.
    """
    settings = load_settings().settings
    inputs = settings.kafka.input_topics
    with usage():
        at = frozenset(parse_place(each, inputs) for each in places)
        chosen = tuple(letter_topic(each, inputs) for each in topics)
    wanted = LetterFilter(
        reasons=frozenset(reasons),
        agent_id=agent_id,
        correlation_id=correlation_id,
        since_ms=None if since_s is None else round(since_s * 1000),
        until_ms=None if until_s is None else round(until_s * 1000),
        replayed=replayed,
        places=at,
    )
    return Choice(settings, chosen or _topics_of(settings, at), wanted)


def _topics_of(settings: Settings, places: Iterable[RecordAt]) -> tuple[str, ...]:
    named = tuple(dict.fromkeys(each.topic for each in places))
    return named or tuple(map(dead_letter_topic, settings.kafka.input_topics))


@contextlib.contextmanager
def usage() -> Iterator[None]:
    """Turn a place that is none into wrong usage."""
    try:
        yield
    except NoSuchPlace as error:
        raise click.UsageError(str(error)) from None


@contextlib.contextmanager
def scanning(chosen: Choice) -> Iterator[TopicScan]:
    """Open the dead-letter topics for reading, and close them afterwards.

    Raises:
        KafkaFailed: Kafka cannot be reached.
    """
    scan = TopicScan(chosen.settings.kafka, chosen.topics)
    with contextlib.closing(scan):
        scan.open()
        yield scan


def tracked(records: Iterable[InboundRecord], most: int) -> Iterator[InboundRecord]:
    """Show on stderr how far a read is; only a terminal shows it."""
    console = Console(stderr=True)
    if not console.is_terminal or not most:
        yield from records
        return
    columns = (TextColumn("reading dead letters"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield from progress.track(records, total=most)


def tell_missing(missing: Iterable[str], strange: int = 0) -> None:
    """Say on stderr which topics are not there, and what was not understood."""
    for name in missing:
        click.echo(f"no topic {name!r}: `agentsched topics create` makes it", err=True)
    if strange:
        click.echo(
            f"{strange} records in these topics are no dead letters of this version",
            err=True,
        )
