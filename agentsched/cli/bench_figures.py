"""From what became of the requests of `agentsched bench` to its figures; pure."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

STEADY_FROM, STEADY_TO = 5, 95
"""Percentiles of the replies' times: outside of them the system fills up or runs dry."""
FEWEST_FOR_RATE = 20
"""Of fewer replies the middle is no rate."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request that has ended. Times are seconds of one clock."""

    due_s: float
    """When it was to be sent; a sender that is late does not make it younger."""
    ended_s: float
    code: str = ""
    """Why it failed; empty: it was completed."""
    queued_s: float | None = None
    """From Kafka's append time to the call, as the reply says."""
    model_s: float | None = None
    """The call, as the reply says."""


class Spread(BaseModel):
    """Percentiles of one duration, in seconds."""

    model_config = ConfigDict(frozen=True)

    p50: float
    p95: float
    p99: float
    max: float


class Figures(BaseModel):
    """What one run of `agentsched bench` measured."""

    model_config = ConfigDict(frozen=True)

    sent: int
    completed: int
    failed: dict[str, int]
    """Why -> how many."""
    took_s: float
    """From the first request to the last reply."""
    completed_per_s: float
    """All completed ones over `took_s`."""
    steady_per_s: float | None
    """Between the 5th and the 95th percentile of the replies; None for few of them."""
    latency_s: Spread | None
    """From when a request was due to its reply; of completed ones, as what follows."""
    queued_s: Spread | None
    """From Kafka's append time to the start of the call: the wait for a turn."""
    model_s: Spread | None
    """The call itself."""
    rest_s: Spread | None
    """What is left: to Kafka and, after the call, back again."""


def figures_of(outcomes: Sequence[Outcome]) -> Figures:
    """Sum up a run.

    Args:
        outcomes: of all requests, in any order; at least one.
    """
    good = [each for each in outcomes if not each.code]
    timed = [
        (each.ended_s - each.due_s, each.queued_s, each.model_s)
        for each in good
        if each.queued_s is not None and each.model_s is not None
    ]
    begun_s = min(each.due_s for each in outcomes)
    took_s = max(each.ended_s for each in outcomes) - begun_s
    return Figures(
        sent=len(outcomes),
        completed=len(good),
        failed=dict(Counter(each.code for each in outcomes if each.code)),
        took_s=took_s,
        completed_per_s=len(good) / took_s if took_s else 0.0,
        steady_per_s=_steady_per_s([each.ended_s for each in good]),
        latency_s=_spread([each.ended_s - each.due_s for each in good]),
        queued_s=_spread([queued for _, queued, _ in timed]),
        model_s=_spread([model for _, _, model in timed]),
        rest_s=_spread([whole - queued - model for whole, queued, model in timed]),
    )


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    cuts = _cuts(values)
    return Spread(p50=cuts[49], p95=cuts[94], p99=cuts[98], max=max(values))


def _steady_per_s(ended_s: Sequence[float]) -> float | None:
    if len(ended_s) < FEWEST_FOR_RATE:
        return None
    cuts = _cuts(ended_s)
    begin, end = cuts[STEADY_FROM - 1], cuts[STEADY_TO - 1]
    if begin == end:
        return None
    return sum(begin < each <= end for each in ended_s) / (end - begin)


def _cuts(values: Sequence[float]) -> list[float]:
    """The 99 percentiles; one value is all of them."""
    if len(values) == 1:
        return [values[0]] * 99
    return statistics.quantiles(values, n=100, method="inclusive")
