"""Does a plan: one session after the other, each measure in turn; shows how far it is."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from benchmarks.suite.calibration import calibrate
from benchmarks.suite.measures.crash import crash
from benchmarks.suite.measures.growth import growth
from benchmarks.suite.measures.idle import idle
from benchmarks.suite.measures.overhead import overhead
from benchmarks.suite.measures.priority import priority
from benchmarks.suite.measures.throughput import throughput
from benchmarks.suite.measures.utilisation import utilisation
from benchmarks.suite.plan import Step
from benchmarks.suite.results import Results, Run
from benchmarks.suite.session import Session
from benchmarks.suite.stand import Stand
from benchmarks.suite.systems import SYSTEMS

LONGEST_RUN_S = 6 * 3600.0
"""A session takes so long that what is left can be told from the whole run only."""
MEASURES: dict[str, Callable[..., dict[str, object]]] = {
    each.__name__: each
    for each in (throughput, overhead, utilisation, priority, crash, idle, growth)
}
SHOWN = {
    "throughput": ("requests_per_s", "own_cpu_ms", "own_memory_mb"),
    "overhead": ("p50_ms", "p99_ms"),
    "utilisation": ("utilisation_ratio", "starts_per_s"),
    "priority": ("low_before_waiting_high", "last_high_started_ms"),
    "crash": ("without_reply", "doubled_replies", "repeated_calls", "recovered_s"),
    "idle": ("own_core_ratio",),
    "growth": ("waiting", "cpu_ms_per_request", "redis_bytes_per_request"),
}
"""What the line of a measure that is done shows; the rest is in the JSON."""


def run_all(
    steps: list[Step],
    results: Results,
    path: Path,
    console: Console,
    *,
    keep_logs: bool = False,
) -> None:
    """Do all steps; blocks. After each, `results` is written to `path`.

    A measure that fails is noted with its error, and the next step goes on.
    """
    with (
        _progress(console) as progress,
        Stand(lambda what: console.print(f"starting {what}"), keep_logs=keep_logs) as s,
    ):
        bar = progress.add_task("test stand", total=len(steps))
        results.stand = calibrate(s)
        for step in steps:
            about = f"{step.system}, {step.part.slots} slots"
            progress.update(bar, description=about)
            for run in do(s, step):
                results.runs.append(run)
                console.print(_line(run), highlight=False, soft_wrap=True)
            results.write(path)
            progress.advance(bar)
        if keep_logs:
            console.print(f"logs: {s.folder}")


def do(stand: Stand, step: Step) -> list[Run]:
    """Do one session; an error takes the place of what it left without values."""
    part, done = step.part, []
    waiting = list(part.measures)
    try:
        with stand.session(
            SYSTEMS[step.system],
            part.slots,
            models=part.models,
            workers=part.workers,
        ) as session:
            while waiting:
                done.append(_measured(session, step, waiting[0]))
                waiting.pop(0)
    except Exception as error:  # noqa: BLE001  (of any system: it is a result, too)
        why = f"{type(error).__name__}: {error}"
        done += [_run(step, name, error=why) for name in waiting]
    return done


def _measured(session: Session, step: Step, name: str) -> Run:
    values = MEASURES[name](session, **step.part.measures[name])
    return _run(step, name, values=values)


def _run(step: Step, name: str, **what: object) -> Run:
    part = step.part
    return Run(
        system=step.system,
        measure=name,
        repetition=step.repetition,
        slots=part.slots,
        models=part.models,
        workers=part.workers,
        **what,
    )


def _line(run: Run) -> str:
    head = f"  {run.repetition + 1}  {run.system:15} {run.slots:4}  {run.measure:12}"
    if run.error:
        return f"{head} failed: {run.error}"
    figures = (f"{name} {run.values[name]:.4g}" for name in SHOWN[run.measure])
    return f"{head} {', '.join(figures)}"


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:26}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        speed_estimate_period=LONGEST_RUN_S,
        disable=not console.is_terminal,
    )
