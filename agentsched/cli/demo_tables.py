"""Owns how the demo's outcome looks on a terminal; it computes nothing."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from agentsched.cli.demo_outcome import DemoOutcome
from agentsched.embedded.demo_models import DEMO_MODELS
from agentsched.ledger.values import ModelTotals


def show_classes(console: Console, result: DemoOutcome) -> None:
    """One line for each class."""
    table = Table(title="By class", title_justify="left")
    for title in ("class", "accepted", "answered", "wait p50", "wait p95"):
        table.add_column(title, justify="left" if title == "class" else "right")
    for row in result.classes:
        waits = (_seconds(row.wait_p50_s), _seconds(row.wait_p95_s))
        table.add_row(row.cls, str(row.accepted), str(row.answered), *waits)
    console.print(table)


def show_models(
    console: Console, totals: Mapping[str, ModelTotals], peaks: Mapping[str, int]
) -> None:
    """One line for each model.

    Args:
        console: where to.
        totals: what the ledger counted.
        peaks: the highest load that was seen while the demo ran.
    """
    table = Table(title="By model", title_justify="left")
    for title in ("model", "served", "load now", "peak load", "capacity", "average"):
        table.add_column(title, justify="left" if title == "model" else "right")
    for model in DEMO_MODELS:
        total = totals.get(model.name, ModelTotals(0, 0, 0, 0))
        average = total.model_ms / total.calls / 1000 if total.calls else None
        table.add_row(
            model.name,
            str(total.calls),
            str(total.in_flight),
            str(peaks.get(model.name, 0)),
            str(model.capacity),
            _seconds(average),
        )
    console.print(table)


def show_verdict(console: Console, result: DemoOutcome) -> None:
    """The line that counts, and the codes of what failed."""
    colour = "green" if result.is_good else "red"
    line = f"{result.accepted} accepted, {result.answered} answered, {result.lost} lost"
    console.print(line, style=f"bold {colour}", highlight=False)
    for code, number in sorted(result.failed.items()):
        console.print(f"{number} of the answers are failures: {code}", style="red")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
