"""Owns `agentsched topics create` and `agentsched topics list`."""

import dataclasses
import json
import sys
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from agentsched.cli.durations import Duration
from agentsched.cli.progress import steps
from agentsched.config.loader import load_settings
from agentsched.config.settings import Settings
from agentsched.kafka.admin.topic_inspection import Inspection, inspect_topics
from agentsched.kafka.admin.topics import TopicsReport, ensure_topics
from agentsched.kafka.topic_plan import (
    FOREVER_MS,
    SAFE_REPLICATION,
    Role,
    planned_config,
    planned_topics,
    shortcomings,
    value_max_bytes,
)

WEEK_S = 7 * 86_400.0
SHOWN = (*planned_config(1, WEEK_S), "max.message.bytes", "retention.bytes")
"""Of Kafka's some forty keys those that say whether records are safe."""
DEAD_LETTER_PARTITIONS = 1
"""Few come, and who reads them wants their order."""


@click.group("topics")
def command() -> None:
    """Make the Kafka topics of this configuration, and look at them.

    Which they are stands in the configuration: kafka.input_topics, kafka.output_topic,
    kafka.reply_topics, and a dead-letter topic for each input topic.
    """


@command.command("create")
@click.option(
    "--partitions",
    type=click.IntRange(1, 10_000),
    default=6,
    show_default=True,
    help="Of input and reply topics. More bridges than partitions are idle.",
)
@click.option(
    "--replication",
    type=click.IntRange(1, 32),
    help="Brokers that keep each record.  [default: 3, or as many as there are]",
)
@click.option(
    "--retention",
    "retention_s",
    type=Duration(),
    default=WEEK_S,
    show_default="7d",
    help="How long Kafka keeps records: 12h, 7d, ...",
)
def create(partitions: int, replication: int | None, retention_s: float) -> None:
    """Create the topics that are missing; those that are there stay as they are.

    New topics stamp records with the broker's time (deadlines count from it) and
    delete records by age only. May be run again at any time.
    """
    settings = load_settings().settings
    if retention_s <= settings.limits.ttl_max_s:
        raise click.UsageError(
            f"--retention must be longer than limits.ttl_max_s"
            f" ({settings.limits.ttl_max_s:g} s): a request that waits must not be dropped"
        )
    console = Console()
    before = inspect_topics(settings.kafka, planned_topics(settings))
    replicas = replication or min(SAFE_REPLICATION, before.brokers)
    with steps(console, "Creating topics") as report:
        for role in Role:
            count = DEAD_LETTER_PARTITIONS if role is Role.DEAD_LETTER else partitions
            names = [n for n, each in planned_topics(settings).items() if each is role]
            report(f"{role} topics ({count} partitions, {replicas} replicas)")
            done = ensure_topics(
                settings.kafka,
                names,
                count,
                replicas,
                value_max_bytes=value_max_bytes(role, settings),
                config=planned_config(replicas, retention_s),
            )
            _show_created(console, names, done)
    console.print("`agentsched topics list` shows all of them", highlight=False)


def _show_created(console: Console, names: list[str], done: TopicsReport) -> None:
    for name in names:
        if name in done.missing:
            raise click.ClickException(
                f"this broker creates no topics on request, and {name!r} is missing: is"
                " it the embedded one? That has the topics of its own start only"
            )
        what = "created" if name in done.created else "is there already"
        console.print(f"  {name}: {what}", highlight=False, markup=False)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_(*, as_json: bool) -> None:
    """Show the topics, and what is missing or not as it should be.

    The exit code is 1 where the delivery contract would break: a missing topic,
    records that Kafka may drop too early, a partition without a leader.
    """
    settings = load_settings().settings
    found = inspect_topics(settings.kafka, planned_topics(settings))
    rows = [
        _row(name, role, found, settings)
        for name, role in planned_topics(settings).items()
    ]
    if as_json:
        click.echo(json.dumps({"brokers": found.brokers, "topics": rows}, indent=2))
    else:
        _show(Console(), rows)
    sys.exit(1 if any(row["faults"] for row in rows) else 0)


def _row(
    name: str, role: Role, found: Inspection, settings: Settings
) -> dict[str, Any]:
    state = found.topics[name]
    said = shortcomings(state, role, settings)
    facts = dataclasses.asdict(state) if state else {"name": name}
    config = state.config if state else None
    return {
        **facts,
        "config": config and {key: config[key] for key in SHOWN if key in config},
        "role": role.value,
        "is_there": state is not None,
        "retention_ms": state.retention_ms if state else None,
        "faults": [one.text for one in said if one.is_fault],
        "advice": [one.text for one in said if not one.is_fault],
    }


def _show(console: Console, rows: list[dict[str, Any]]) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("topic", overflow="fold")
    table.add_column("role")
    for title in ("partitions", "replication", "retention", "records"):
        table.add_column(title, justify="right")
    for row in rows:
        cells = [row.get(key) for key in ("partitions", "replication")]
        table.add_row(
            row["name"],
            row["role"],
            *("-" if cell is None else str(cell) for cell in cells),
            _retention(row["retention_ms"]) if row["is_there"] else "-",
            str(row.get("records", "-")),
            style="red" if row["faults"] else None,
        )
    console.print(table)
    for colour, kind in (("red", "faults"), ("yellow", "advice")):
        for text in dict.fromkeys(text for row in rows for text in row[kind]):
            names = ", ".join(row["name"] for row in rows if text in row[kind])
            line = f"{names}: {text}"
            console.print(line, style=colour, highlight=False, markup=False)
    if any(row["faults"] or row["advice"] for row in rows):
        console.print("`agentsched doctor` says how to mend it", highlight=False)


def _retention(retention_ms: int | None) -> str:
    if retention_ms is None:
        return "not known"
    if retention_ms == FOREVER_MS:
        return "for ever"
    for unit, milliseconds in (("d", 86_400_000), ("h", 3_600_000)):
        if retention_ms >= milliseconds:
            return f"{retention_ms / milliseconds:g} {unit}"
    return f"{retention_ms / 1000:g} s"
