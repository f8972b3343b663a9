"""Owns `agentsched bench`: its options, and how its figures look."""

import sys
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from agentsched.cli.bench_figures import Figures, Spread, figures_of
from agentsched.cli.bench_traffic import MIN_PROMPT_CHARACTERS, Traffic, measure
from agentsched.cli.durations import Duration
from agentsched.cli.send_input import parse_params
from agentsched.client import AgentClient
from agentsched.client.client import MAX_OUTSTANDING
from agentsched.config.loader import load_settings
from agentsched.types import Priority

AGENT_ID = "agentsched-bench"
DEFAULT_PARAMS = ("max_tokens=16",)
MAX_PROMPT_CHARACTERS = 100_000
STAGES = (
    ("whole", "latency_s"),
    ("waits for its turn", "queued_s"),
    ("model", "model_s"),
    ("to Kafka and back", "rest_s"),
)
"""What the table's rows are called -> the field of `Figures`."""


@click.command("bench")
@click.option(
    "--count",
    "-n",
    type=click.IntRange(1, MAX_OUTSTANDING),
    default=100,
    show_default=True,
    help="How many requests.",
)
@click.option(
    "--rate",
    "rate_per_s",
    type=click.FloatRange(0, 10_000, min_open=True),
    help="So many a second, however slow the replies are.  [default: all at once]",
)
@click.option(
    "--class",
    "priority",
    type=click.Choice([each.value for each in Priority]),
    default=Priority.MEDIUM.value,
    show_default=True,
    help="How urgent they are.",
)
@click.option("--model", "model_id", help="Default: any that serves text_generation.")
@click.option(
    "--agent",
    "agent_id",
    default=AGENT_ID,
    show_default=True,
    help="In whose name.",
)
@click.option(
    "--prompt-characters",
    type=click.IntRange(MIN_PROMPT_CHARACTERS, MAX_PROMPT_CHARACTERS),
    default=400,
    show_default=True,
    help="How long each prompt is.",
)
@click.option(
    "--param",
    "pairs",
    metavar="NAME=VALUE",
    multiple=True,
    default=DEFAULT_PARAMS,
    show_default=True,
    help="Of the chat completion; may be repeated.",
)
@click.option(
    "--ttl",
    "ttl_s",
    type=Duration(),
    help="How long an answer is of use: 30s, 10m, ...  [default: limits.ttl_s]",
)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON, for programs.")
def command(
    *,
    count: int,
    rate_per_s: float | None,
    prompt_characters: int,
    pairs: tuple[str, ...],
    as_json: bool,
    **said: Any,  # noqa: ANN401  (what a request says beside its prompt)
) -> None:
    """Measure your own system with requests that are real, and cost what they cost.

    Sends synthetic prompts (and one before them, which is not counted) through your Kafka, bridge, workers and model servers, and
    prints throughput and latency: the wait for a turn and the model's time as replies
    say them, and the rest. The wait counts from the broker's clock, so it is as right
    as the clocks of broker and worker agree.

    With --rate latency counts from when a request was due: what comes late because the
    system is full is late. All at once shows throughput; latency is then the backlog.

    Ctrl-C cancels what has no reply. The exit code is 0 only if every request was
    completed.

    \b
    agentsched bench --count 500
    agentsched bench --count 600 --rate 10 --class high --json
    """  # noqa: D301  (click wants this very character)
    settings = load_settings().settings
    try:
        params = parse_params(pairs)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    options = {name: value for name, value in said.items() if value is not None}
    traffic = Traffic(
        count, rate_per_s or 0.0, prompt_characters, options | {"params": params}
    )
    with (
        AgentClient.of(settings, max_outstanding=count) as client,
        _progress() as progress,
    ):
        bar = progress.add_task("replies", total=count)
        outcomes = measure(
            client, traffic, lambda ended: progress.update(bar, completed=ended)
        )
    figures = figures_of(outcomes)
    if as_json:
        click.echo(figures.model_dump_json())
    else:
        _show(figures, Console(highlight=False))
    sys.exit(0 if figures.completed == figures.sent else 1)


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _show(figures: Figures, console: Console) -> None:
    failed = sum(figures.failed.values())
    console.print(
        f"{figures.sent} sent, {figures.completed} completed, {failed} failed"
        f" in {figures.took_s:.1f} s: {figures.completed_per_s:.1f}/s",
        style="bold" if not failed else "bold red",
    )
    if figures.steady_per_s is not None:
        console.print(f"{figures.steady_per_s:.1f}/s without the first and last 5 %")
    for code, number in sorted(figures.failed.items()):
        console.print(f"{number} failed: {code}", style="red", markup=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("Latency, s", justify="left")
    for title in ("p50", "p95", "p99", "max"):
        table.add_column(title, justify="right")
    for title, name in STAGES:
        found: Spread | None = getattr(figures, name)
        if found is not None:
            values = (found.p50, found.p95, found.p99, found.max)
            table.add_row(title, *(f"{value:.3f}" for value in values))
    if table.row_count:
        console.print(table)
