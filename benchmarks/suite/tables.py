"""The run as tables: medians with their extremes, and how AgentSched compares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.suite.bars import OURS, judge
from benchmarks.suite.numbers import Summary
from benchmarks.suite.results import Results
from benchmarks.suite.systems import SYSTEMS

WIDTH = 140
"""Of tables that go to a file."""


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a table."""

    title: str
    measure: str
    figure: str
    slots: int = 16
    models: int = 1
    form: str = "{:.3g}"
    ratio: bool = False
    """Whether a column after it has AgentSched's as a multiple of this system's."""


def _percent(slots: int) -> Column:
    return Column(
        f"{slots} slots", "utilisation", "utilisation_ratio", slots, form="{:.1%}"
    )


def _number(title: str, measure: str, figure: str, **more: object) -> Column:
    return Column(title, measure, figure, form="{:,.0f}", **more)


TABLES: dict[str, Sequence[Column]] = {
    "Throughput: a model that answers at once, 16 slots": (
        _number("requests/s", "throughput", "requests_per_s", ratio=True),
        Column("own CPU, ms a request", "throughput", "own_cpu_ms", ratio=True),
        Column("Redis", "throughput", "cpu_ms.redis"),
        Column("Kafka", "throughput", "cpu_ms.kafka"),
        _number("memory, MB", "throughput", "own_memory_mb"),
        Column("model server, cores", "throughput", "model_core_ratio"),
        _number("3 models: requests/s", "throughput", "requests_per_s", models=3),
        Column(
            "3 models, idle: cores", "idle", "own_core_ratio", models=3, form="{:.3f}"
        ),
    ),
    "Overhead at 50 requests/s, ms beyond the model's own time": (
        Column("p50", "overhead", "p50_ms", ratio=True),
        Column("p99", "overhead", "p99_ms", ratio=True),
        Column("before the call", "overhead", "before_p50_ms"),
        Column("after it", "overhead", "after_p50_ms"),
        Column("own CPU, ms a request", "overhead", "own_cpu_ms"),
    ),
    "Utilisation of the slots: 200 ms a call (1 slot: 100 ms)": (
        *(_percent(slots) for slots in (1, 3, 16, 64, 200)),
        Column("1 slot: starts/s", "utilisation", "starts_per_s", 1),
    ),
    "2,000 low, then 200 high: 16 slots, 50 ms a call": (
        _number(
            "low begun before a waiting high", "priority", "low_before_waiting_high"
        ),
        _number("last high started after, ms", "priority", "last_high_started_ms"),
    ),
    "kill -9 of a worker in the middle of 1,000 requests": (
        _number("ran then", "crash", "running_at_kill"),
        _number("without reply", "crash", "without_reply"),
        _number("doubled replies", "crash", "doubled_replies"),
        _number("repeated calls", "crash", "repeated_calls"),
        Column("last reply after, s", "crash", "recovered_s"),
    ),
}


def show(results: Results, console: Console) -> None:
    """Print all tables of which something was measured, and what went wrong."""
    stand = results.stand
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDTH)
    console.print(
        f"The model server alone: {stand['model_cpu_ms']:.3f} ms of CPU a call, so a core"
        f" of it serves {1000 / stand['model_cpu_ms']:,.0f}/s; a client on the same cores"
        f" got {stand['model_calls_per_s']:,.0f}/s. Kafka alone, with the suite's client:"
        f" {stand['kafka_p50_ms']:.1f} / {stand['kafka_p99_ms']:.1f} ms (p50 / p99).",
        highlight=False,
    )
    console.print("Medians (extremes); x: AgentSched's as a multiple of it.")
    figure = _figures(results)
    for title, columns in TABLES.items():
        present = [c for c in columns if any(figure(name, c) for name in SYSTEMS)]
        rows = [n for n in SYSTEMS if any(figure(n, c) for c in present)]
        if rows:
            console.print(_table(title, present, rows, figure))
    _show_workers_and_growth(results, console)
    _show_bars(results, console)
    for run in results.runs:
        if run.error:
            console.print(
                f"{run.system}, {run.slots} slots, {run.measure}: {run.error}",
                style="red",
                markup=False,
            )


Figures = Callable[[str, Column], Summary | None]


def _figures(results: Results) -> Figures:
    summary = results.summary()

    def figure(system: str, column: Column) -> Summary | None:
        key = (system, column.measure, column.slots, column.models, 1)
        return summary.get(key, {}).get(column.figure)

    return figure


def _table(
    title: str, columns: Sequence[Column], rows: Sequence[str], figure: Figures
) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    table.add_column("")
    for column in columns:
        table.add_column(column.title, justify="right")
        if column.ratio:
            table.add_column("x", justify="right")
    for name in rows:
        cells = []
        for column in columns:
            found, ours = figure(name, column), figure(OURS, column)
            cells.append(cell(found, column.form))
            if column.ratio:
                cells.append(ratio(ours, found))
        table.add_row(name, *cells)
    return table


def cell(found: Summary | None, form: str) -> str:
    """Return a median with its extremes, as a cell."""
    if found is None:
        return "-"
    if found.low == found.high:
        return form.format(found.median)
    extremes = f"{form.format(found.low)}-{form.format(found.high)}"
    return f"{form.format(found.median)} ({extremes})"


def ratio(ours: Summary | None, theirs: Summary | None) -> str:
    """Return our median as a multiple of theirs, as a cell."""
    if ours is None or theirs is None or not theirs.median:
        return "-"
    return f"{ours.median / theirs.median:.2f}"


def _show_workers_and_growth(results: Results, console: Console) -> None:
    for key, figures in sorted(results.summary().items()):
        system, measure, _, _, at = key
        if measure == "throughput" and at > 1:
            rate = cell(figures["requests_per_s"], "{:,.0f}")
            console.print(f"{system} with {at} workers: {rate} requests/s")
        if measure == "growth":
            console.print(
                f"{system} while {at:,} wait:"
                f" {cell(figures['cpu_ms_per_request'], '{:.3g}')} ms of CPU a request,"
                f" {cell(figures['bridge_bytes_per_request'], '{:,.0f}')} bytes of the"
                f" bridge, Redis {cell(figures['redis_mb'], '{:.1f}')} MB"
            )


def _show_bars(results: Results, console: Console) -> None:
    verdicts = list(judge(results.summary()))
    if not verdicts:
        return
    table = Table(
        title="What AgentSched has to reach (two cores, this run)",
        title_justify="left",
        box=box.SIMPLE,
    )
    for title in ("", "reached", "floor", "goal", ""):
        table.add_column(title, justify="right" if title else "left")
    for each in verdicts:
        sign = "at least" if each.bar.at_least else "at most"
        met = "goal" if each.meets_goal else "floor" if each.meets_floor else "MISSED"
        table.add_row(
            each.bar.title,
            f"{each.reached:.3g}",
            f"{sign} {each.bar.floor:g}",
            f"{each.bar.goal:g}",
            met,
            style="" if each.meets_floor else "red",
        )
    console.print(table)
