"""Owns `agentsched replies`: shows the replies that are in Kafka; answers nothing."""

import contextlib
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from agentsched.cli.durations import Moment
from agentsched.cli.terminal_text import one_line
from agentsched.config.loader import load_settings
from agentsched.config.settings import Settings
from agentsched.errors import CodecError
from agentsched.kafka.readers.topic_tail import EVERYTHING_MS, TopicTail
from agentsched.kafka.seen_replies import SeenReplies
from agentsched.types import DEFAULT_AGENT_ID, Reply, TaskStatus
from agentsched.wire.codec import CONFLICT, PAYLOAD_HASH, decode_message
from agentsched.wire.conflicts import Conflict, read_conflict
from agentsched.wire.records import InboundRecord

POLL_S = 0.2
TEXTS = frozenset({"content", "messages", "tool_calls", "params"})
"""What people and models wrote; shown only when asked for."""
COLOURS = {TaskStatus.COMPLETED: "green", TaskStatus.FAILED: "red"}
STATUSES = [*(each.value for each in TaskStatus), CONFLICT]


@click.command("replies")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@click.option(
    "--since",
    "since_s",
    type=Moment(),
    help="Not older: 10m, 2h, 1d or 2026-01-31T12:00."
    "  [default: all that Kafka keeps; with --follow: from now on]",
)
@click.option("--agent", "agent_id", help="Only to requests of this agent.")
@click.option(
    "--status",
    type=click.Choice(STATUSES),
    help="Only those that ended so; conflict: refused, the id has another request.",
)
@click.option("--id", "correlation_id", help="Only to the request of this id.")
@click.option("--content", "with_content", is_flag=True, help="Show the answers, too.")
@click.option(
    "--json/--no-json",
    "as_json",
    default=None,
    help="One JSON object a line.  [default: unless stdout is a terminal]",
)
def command(  # noqa: PLR0913  (one for each option)
    *,
    follow: bool,
    since_s: float | None,
    agent_id: str | None,
    status: str | None,
    correlation_id: str | None,
    with_content: bool,
    as_json: bool | None,
) -> None:
    """Show the replies in Kafka: who asked, which model answered, how long it took.

    Answers are left out, because others may look at this screen or log: --content
    shows them. Of several replies to one request the first one is shown. Requests that
    were refused because their id has another payload are shown as `conflict`.
    """
    settings = load_settings().settings
    start_ms = None if follow else EVERYTHING_MS
    if since_s is not None:
        start_ms = round(since_s * 1000)
    wanted = {
        "agent_id": agent_id,
        "status": status,
        "correlation_id": correlation_id,
    }
    json_lines = not sys.stdout.isatty() if as_json is None else as_json
    console = Console(soft_wrap=True, highlight=False)
    with (
        _busy(is_shown=not follow and not sys.stdout.isatty()),
        contextlib.closing(_reader(settings, start_ms)) as reader,
    ):
        reader.open()
        for record, found in _read(reader, start_ms or 0, follow=follow):
            if not _matches(found, wanted):
                continue
            if json_lines:
                click.echo(_json(found, with_content=with_content))
            elif isinstance(found, Conflict):
                console.print(_conflict_line(record, found))
            else:
                console.print(_line(record, found, with_content=with_content))


def _busy(*, is_shown: bool) -> contextlib.AbstractContextManager[object]:
    """Reading all that Kafka keeps into a file may take a while without a word."""
    if not is_shown:
        return contextlib.nullcontext()
    return Console(stderr=True).status("reading replies ...")


def _reader(settings: Settings, start_ms: int | None) -> TopicTail:
    kafka = settings.kafka
    return TopicTail(
        kafka.bootstrap_servers,
        [kafka.output_topic, *kafka.reply_topics],
        since_ms=start_ms,
        fetch_wait_ms=kafka.fetch_wait_ms,
        properties=kafka.properties,
    )


def _read(
    reader: TopicTail, start_ms: int, *, follow: bool
) -> Iterator[tuple[InboundRecord, Reply | Conflict]]:
    """Return replies in the order of each partition, each once; and conflicts."""
    for name in reader.missing:
        click.echo(f"no topic {name!r}: `agentsched topics create` makes it", err=True)
    seen, last_problem = SeenReplies(), ""
    while True:
        for record in reader.poll(POLL_S):
            found = _decoded(record)
            # The embedded broker knows no times: it returns older ones, too.
            if found is None or record.timestamp_ms < start_ms:
                continue
            if isinstance(found, Conflict) or seen.is_first(found):
                yield record, found
        if reader.problem != last_problem:
            last_problem = reader.problem
            if last_problem:
                click.echo(f"Kafka: {last_problem}", err=True)
        if not follow and reader.at_end:
            return


def _decoded(record: InboundRecord) -> Reply | Conflict | None:
    if "kind" in record.headers:
        return read_conflict(record.headers)  # else it is a part of a reply
    try:
        message = decode_message(record.value or b"")
    except CodecError as error:
        where = f"{record.topic}[{record.partition}]@{record.offset}"
        click.echo(f"skipped {where}, which is no reply: {error.detail}", err=True)
        return None
    return message if isinstance(message, Reply) else None


def _matches(found: Reply | Conflict, wanted: dict[str, Any]) -> bool:
    if isinstance(found, Conflict):
        has = _facts_of(found)
    else:
        has = {
            "agent_id": found.agent_id or DEFAULT_AGENT_ID,
            "status": found.status,
            "correlation_id": found.correlation_id,
        }
    return all(value in (None, has[key]) for key, value in wanted.items())


def _facts_of(conflict: Conflict) -> dict[str, Any]:
    return {
        "status": CONFLICT,
        "agent_id": conflict.identity.agent_id,
        "correlation_id": conflict.identity.correlation_id,
        PAYLOAD_HASH: conflict.payload_hash,
    }


def _json(found: Reply | Conflict, *, with_content: bool) -> str:
    if isinstance(found, Conflict):
        return json.dumps(_facts_of(found), ensure_ascii=False)
    hidden = set() if with_content else TEXTS
    return found.model_dump_json(exclude_none=True, exclude=set(hidden))


def _conflict_line(record: InboundRecord, conflict: Conflict) -> Text:
    """Whose request was refused, and which; on one line."""
    line = Text(f"{_clock(record)}  ").append(f"{CONFLICT:9}", style="yellow")
    ids = (conflict.identity.agent_id, conflict.identity.correlation_id)
    facts = "  ".join(one_line(each) for each in ids)
    return line.append(f"  {facts}  refused: the id has another request")


def _clock(record: InboundRecord) -> str:
    at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC).astimezone()
    return f"{at:%H:%M:%S}"


def _line(record: InboundRecord, reply: Reply, *, with_content: bool) -> Text:
    """Who asked, what came of it, and what it took; on one line."""
    colour = COLOURS.get(reply.status, "") if reply.status else ""
    facts = [
        reply.agent_id or DEFAULT_AGENT_ID,
        str(reply.correlation_id),
        str(reply.priority or "-"),
        reply.model_id or "-",
    ]
    if reply.timing:
        facts.append(f"{reply.timing.queued_s:.1f} s + {reply.timing.model_s:.1f} s")
    if reply.token_count is not None:
        facts.append(f"{reply.token_count} tokens")
    if reply.error:
        facts.append(reply.error.code)
    line = Text(f"{_clock(record)}  ")
    line.append(f"{reply.status:9}", style=colour)
    line.append("  " + "  ".join(one_line(fact) for fact in facts))
    if with_content and reply.content:
        line.append("  " + one_line(str(reply.content)), style="dim")
    return line
