"""The run as plots: SVG files for docs/performance.md."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.suite.numbers import Summary
from benchmarks.suite.results import Results
from benchmarks.suite.systems import SYSTEMS

OURS, THEIRS = "#c2410c", "#64748b"
COLOURS = ("#c2410c", "#0f766e", "#7c3aed", "#64748b", "#ca8a04", "#0369a1", "#be185d")
PROCESSES = ("bridge", "feeder", "worker", "redis")
SIZE = (8.5, 3.4)
SLOTS = (3, 16, 64, 200)

Figures = dict[str, dict[str, Summary]]
"""System -> figure -> its summary."""


def draw(results: Results, folder: Path) -> list[Path]:
    """Write every plot of which something was measured; returns the files.

    The same results give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "agentsched"
    mpl.rcParams["svg.fonttype"] = "none"
    written = []
    for name, plot in PLOTS.items():
        figure = Figure(figsize=SIZE, layout="constrained")
        if plot(figure.add_subplot(), results):
            path = folder / f"{name}.svg"
            figure.savefig(path, metadata={"Date": None, "Creator": None})
            written.append(path)
    return written


def throughput(axes: Axes, results: Results) -> bool:
    """Requests/s at 0 ms, a bar each, with the extremes of the repetitions."""
    found = _of(results, "throughput", 16)
    _bars(axes, {name: each["requests_per_s"] for name, each in found.items()})
    axes.set_title("Throughput: a model that answers at once, 16 slots")
    axes.set_xlabel("requests/s")
    return bool(found)


def cpu(axes: Axes, results: Results) -> bool:
    """CPU a request at 0 ms, by process."""
    found = _of(results, "throughput", 16)
    names = _titles(found)
    left = [0.0] * len(names)
    for colour, process in zip(COLOURS, PROCESSES, strict=False):
        missing = Summary(0, 0, 0, 0)
        widths = [x.get(f"cpu_ms.{process}", missing).median for x in found.values()]
        axes.barh(names, widths, left=left, color=colour, label=process)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    _legend(axes)
    axes.set_title("CPU of a request, by process")
    axes.set_xlabel("ms")
    return bool(found)


def overhead(axes: Axes, results: Results) -> bool:
    """p50 with its two stages, and p99 as a mark."""
    found = _of(results, "overhead", 16)
    names = _titles(found)
    before = [each["before_p50_ms"].median for each in found.values()]
    after = [each["after_p50_ms"].median for each in found.values()]
    axes.barh(names, before, color=COLOURS[0], label="before the call, p50")
    axes.barh(names, after, left=before, color=COLOURS[1], label="after it, p50")
    worst = [each["p99_ms"].median for each in found.values()]
    axes.plot(worst, names, "|", color="black", markersize=14, label="p99")
    axes.invert_yaxis()
    _legend(axes)
    axes.set_title("Overhead at 50 requests/s")
    axes.set_xlabel("ms beyond the model's own time")
    return bool(found)


def utilisation(axes: Axes, results: Results) -> bool:
    """Over the number of slots, a line each; calls of 200 ms."""
    found = False
    for colour, (name, system) in zip(COLOURS, SYSTEMS.items(), strict=True):
        points = {
            slots: _of(results, "utilisation", slots).get(name) for slots in SLOTS
        }
        line = {n: x["utilisation_ratio"].median * 100 for n, x in points.items() if x}
        if line:
            found = True
            axes.plot(
                list(line),
                list(line.values()),
                "o-",
                color=colour,
                label=system.title,
            )
    _legend(axes)
    axes.set_title("Utilisation while requests wait: 200 ms a call")
    axes.set_xscale("log")
    axes.set_xticks(SLOTS, [str(slots) for slots in SLOTS])
    axes.minorticks_off()
    axes.set_ylim(0, 102)
    axes.set_xlabel("slots in one worker")
    axes.set_ylabel("%")
    return found


PLOTS: dict[str, Callable[[Axes, Results], bool]] = {
    each.__name__: each for each in (throughput, cpu, overhead, utilisation)
}


def _of(results: Results, measure: str, slots: int) -> Figures:
    summary = results.summary()
    keys = {name: (name, measure, slots, 1, 1) for name in SYSTEMS}
    return {name: summary[key] for name, key in keys.items() if key in summary}


def _titles(found: Figures) -> list[str]:
    return [SYSTEMS[name].title for name in found]


def _legend(axes: Axes) -> None:
    """Beside the plot: it must not lie on a bar."""
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def _bars(axes: Axes, found: dict[str, Summary]) -> None:
    names = [SYSTEMS[name].title for name in found]
    values = [each.median for each in found.values()]
    errors = [
        [each.median - each.low for each in found.values()],
        [each.high - each.median for each in found.values()],
    ]
    colours = [OURS if name == "agentsched" else THEIRS for name in found]
    axes.barh(names, values, xerr=errors, color=colours)
    axes.invert_yaxis()
