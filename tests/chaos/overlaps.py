"""How many calls ran at once, and whether that is more than a model may have; computes."""

from collections.abc import Sequence

from tests.chaos.history import Happened, History
from tests.chaos.recalls import until_poison_is_answered
from tests.support.model_server import Call

LONG_S, ABORT_S = 2.0, 1.0
"""Who broke off a call that hung has its slot free a little before the server knows."""
LATE_S = 10.0
"""Two leases and so long after a fault, a call of a worker given up may still run."""


def capacity_kept(history: History, figures) -> list[str]:
    """Calls never exceed the capacity, but around a fault that may cost a lease."""
    faults = [one for one in until_poison_is_answered(history) if one.recalls]
    after_s, broken = 2 * history.lease_s + LATE_S, []
    for model, most in history.capacity.items():
        figures[f"peak {model} of {most}"] = history.peaks[model]
        calls = [call for call in history.calls if call.model == model]
        beyond = [
            count
            for at_s, count in running(calls)
            if count > most and not _excused(faults, at_s, after_s)
        ]
        if beyond:
            broken.append(f"capacity of {model}: {max(beyond)} calls at once")
    return broken


def running(calls: Sequence[Call]) -> list[tuple[float, int]]:
    """Return when each call began, and how many ran then."""
    steps = [(call.started_s, 1) for call in calls]
    steps += [(_ended_s(call), -1) for call in calls if call.ended_s is not None]
    found, count = [], 0
    for at_s, change in sorted(steps):
        count += change
        if change > 0:
            found.append((at_s, count))
    return found


def _ended_s(call: Call) -> float:
    long = call.ended_s - call.started_s > LONG_S
    return call.ended_s - ABORT_S if long else call.ended_s


def _excused(faults: Sequence[Happened], at_s: float, after_s: float) -> bool:
    return any(one.started_s <= at_s <= one.ended_s + after_s for one in faults)
