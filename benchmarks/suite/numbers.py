"""The suite's statistics; pure. Times are nanoseconds of one monotonic clock."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NS_PER_S = 1e9
NS_PER_MS = 1e6
STEADY_FROM, STEADY_TO = 5, 95
"""Percentiles: what is outside is the ramp of a run, not its steady part."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as the model server saw it."""

    id: str
    started_ns: int
    ended_ns: int
    """0: the client went away before its answer."""


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile, interpolated between the two nearest values.

    Raises:
        ValueError: there is no value, or no such percentile.
    """
    if not values or not 0 <= percent <= 100:
        raise ValueError("a percentile needs values, and lies between 0 and 100")
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def steady_rate_per_s(times_ns: Sequence[int]) -> float:
    """Return events a second from the 5th to the 95th percentile of their times."""
    begin, end = percentile(times_ns, STEADY_FROM), percentile(times_ns, STEADY_TO)
    inside = sum(begin < each <= end for each in times_ns)
    return inside * NS_PER_S / (end - begin)


def utilisation_ratio(calls: Sequence[Call], slots: int) -> float:
    """Return how much of the slots' time was spent in calls, in the steady part.

    That is from the 5th to the 95th percentile of the calls' starts. A call that never
    ended counts until the end of that time.
    """
    starts = [call.started_ns for call in calls]
    begin, end = percentile(starts, STEADY_FROM), percentile(starts, STEADY_TO)
    busy = sum(
        max(0.0, min(call.ended_ns or end, end) - max(call.started_ns, begin))
        for call in calls
    )
    return busy / (slots * (end - begin))


def most_at_once(calls: Iterable[Call]) -> int:
    """Return the largest number of calls that ran at the same time."""
    edges = []
    for call in calls:
        edges += [(call.started_ns, 1), (call.ended_ns or math.inf, -1)]
    most = running = 0
    for _, step in sorted(edges):
        running += step
        most = max(most, running)
    return most


def begun_before_a_waiting(
    low_starts_ns: Iterable[int],
    high: Iterable[tuple[int, int]],
    grace_ns: int,
) -> int:
    """Return how many low calls began while a high request had waited beyond the grace.

    Args:
        low_starts_ns: when the calls of low requests began.
        high: when each high request was sent, and when its call began.
        grace_ns: how long a high request may wait before a low start counts.
    """
    waits = [(sent + grace_ns, started) for sent, started in high]
    return sum(
        any(begin < start < end for begin, end in waits) for start in low_starts_ns
    )


@dataclass(frozen=True, slots=True)
class Summary:
    """One figure over the repetitions."""

    median: float
    low: float
    high: float
    count: int

    @property
    def spread_ratio(self) -> float:
        """The distance of the extremes, as a part of the median; 0 where that is 0."""
        return (self.high - self.low) / self.median if self.median else 0.0


def summarise(values: Sequence[float]) -> Summary:
    """Return median and extremes of one figure over its repetitions."""
    return Summary(statistics.median(values), min(values), max(values), len(values))


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers of nested figures, by their path: `cpu_ms.worker`."""
    found: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, int | float):
            found[f"{prefix}{key}"] = value
    return found
