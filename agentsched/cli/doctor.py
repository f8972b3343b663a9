"""Owns `agentsched doctor`: checks an installation, and says what to do."""

import dataclasses
import json
import os
import sys
from contextlib import closing

import click
from rich.console import Console
from rich.table import Table

from agentsched.config.loader import load_settings
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.operations.doctor.diagnosis import CheckResult, Level, exit_code
from agentsched.operations.doctor.facts import checks, examine

COLOURS = {Level.OK: "green", Level.ADVICE: "yellow", Level.FAULT: "red"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def command(*, as_json: bool) -> None:
    """Check Kafka, topics, Redis, bridges, workers and model servers.

    `fault`: requests are not answered, or may be lost. `advice`: it works, and is less
    safe than it could be. The exit code is 1 where there is a fault, else 0. Run it where
    the workers run: it reads the same API keys. Nothing is changed; `agentsched topics
    create` makes missing topics.
    """
    settings = load_settings().settings
    console = Console(stderr=True)
    found: list[CheckResult] = []
    with closing(RedisLedger.of(settings)) as ledger:
        todo = checks(settings, ledger, os.environ)
        with console.status("Checking ...") as status:
            for what, findings in zip(todo, examine(todo), strict=True):
                status.update(f"Checking: {what}")
                found += findings
    if as_json:
        click.echo(json.dumps({"findings": [dataclasses.asdict(f) for f in found]}))
    else:
        _show(Console(), found)
    sys.exit(exit_code(found))


def _show(console: Console, findings: list[CheckResult]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for one in findings:
        text = f"{one.text}\n  -> {one.fix}" if one.fix else one.text
        colour = COLOURS[one.level]
        table.add_row(f"[{colour}]{one.level}[/]", one.what, text)
    console.print(table, highlight=False)
    faults = sum(one.level is Level.FAULT for one in findings)
    advice = sum(one.level is Level.ADVICE for one in findings)
    console.print(f"\n{faults} faults, {advice} pieces of advice", highlight=False)
