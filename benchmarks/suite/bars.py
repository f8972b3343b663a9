"""What AgentSched has to reach in a run: a floor, and a goal beyond it; pure.

Bars that name a rival are for the same run; all are for two cores.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks.suite.numbers import Summary

Summaries = Mapping[tuple[str, str, int, int, int], Mapping[str, Summary]]
OURS = "agentsched"


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure, and what it has to be."""

    title: str
    measure: str
    figure: str
    floor: float
    goal: float
    at_least: bool
    """Else: at most."""
    slots: int = 16
    models: int = 1
    rival: str = ""
    """Floor and goal are multiples of its figure; empty: they are absolute."""
    worst: bool = False
    """Every repetition has to reach it; else the median."""


def _least(title: str, measure: str, figure: str, floor: float, goal: float, **more):
    return Bar(title, measure, figure, floor, goal, at_least=True, **more)


def _most(title: str, measure: str, figure: str, floor: float, goal: float, **more):
    return Bar(title, measure, figure, floor, goal, at_least=False, **more)


def _used(slots: int, floor: float, goal: float) -> Bar:
    title = f"utilisation, {slots} slots"
    figure = "utilisation_ratio"
    return _least(title, "utilisation", figure, floor, goal, slots=slots)


CELERY, TASKIQ = "celery-threads", "taskiq"
RATE = "requests_per_s"
BARS = (
    _least("requests/s, of taskiq's", "throughput", RATE, 1.0, 1.6, rival=TASKIQ),
    _least("requests/s, of Celery's", "throughput", RATE, 2.5, 2.5, rival=CELERY),
    _most("own CPU, ms a request", "throughput", "own_cpu_ms", 0.75, 0.45),
    _most("Redis's CPU, ms a request", "throughput", "cpu_ms.redis", 0.25, 0.15),
    _used(16, 0.97, 0.98),
    _used(64, 0.95, 0.97),
    _used(200, 0.88, 0.92),
    _most("overhead p50, of Celery's", "overhead", "p50_ms", 1.15, 1.0, rival=CELERY),
    _most("overhead p99, of Celery's", "overhead", "p99_ms", 1.15, 1.0, rival=CELERY),
    _least("capacity 1: starts/s", "utilisation", "starts_per_s", 8.5, 9.0, slots=1),
    _most(
        "low begun before a waiting high",
        *("priority", "low_before_waiting_high", 0, 0),
        worst=True,
    ),
    _most(
        "last high started, ms",
        *("priority", "last_high_started_ms", float("inf"), 750),
    ),
    _most("kill: without reply", "crash", "without_reply", 0, 0, worst=True),
    _most("kill: doubled replies", "crash", "doubled_replies", 0, 0, worst=True),
    _most("memory, MB", "throughput", "own_memory_mb", 130, 110),
    _most("idle, 3 models: cores", "idle", "own_core_ratio", 0.04, 0.02, models=3),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one bar."""

    bar: Bar
    reached: float
    """The figure, or the multiple of the rival's."""
    meets_floor: bool
    meets_goal: bool


def judge(summaries: Summaries) -> Iterator[Verdict]:
    """Yield a verdict for each bar whose figures were measured."""
    for bar in BARS:
        ours = _figure(summaries, bar, OURS)
        theirs = _figure(summaries, bar, bar.rival) if bar.rival else None
        if ours is None or (bar.rival and (theirs is None or not theirs.median)):
            continue
        reached = _counted(bar)(ours)
        if theirs is not None:
            reached /= theirs.median
        yield Verdict(
            bar,
            reached,
            meets_floor=_meets(bar, reached, bar.floor),
            meets_goal=_meets(bar, reached, bar.goal),
        )


def _figure(summaries: Summaries, bar: Bar, system: str) -> Summary | None:
    key = (system, bar.measure, bar.slots, bar.models, 1)
    return summaries.get(key, {}).get(bar.figure)


def _counted(bar: Bar) -> Callable[[Summary], float]:
    if not bar.worst:
        return lambda found: found.median
    return lambda found: found.low if bar.at_least else found.high


def _meets(bar: Bar, reached: float, limit: float) -> bool:
    return reached >= limit if bar.at_least else reached <= limit
