"""Whether every request was answered in its time (L1); computes.

Its time is the time to live and a grace, and what faults took meanwhile: the time in
which Kafka or Redis could not be reached or a bridge did not run, with what it takes
until that is noticed behind each. Times that overlap count once.
"""

from collections.abc import Sequence

from tests.chaos.history import Happened, History

GRACE_S = 30.0
NOTICED_S = 11.0
"""A session time-out of Kafka, and a second until the process is there again."""


def in_time(history: History, figures) -> list[str]:
    """L1: the first reply comes by deadline and grace, and the time that faults took."""
    first_s = {one.id: history.at_s(one.at_ms) for one in reversed(history.replies)}
    stalls = [one for one in history.faults if one.stalls]
    most_s = history.ttl_s + GRACE_S
    broken, longest_s = [], 0.0
    for one in history.sent:
        if one.kind != "request" or one.id not in first_s:
            continue
        took_s = first_s[one.id] - one.sent_s
        added_s = stalled_s(stalls, one.sent_s, first_s[one.id])
        longest_s = max(longest_s, took_s)
        if took_s > most_s + added_s:
            broken.append(f"L1 {one.id} took {took_s:.0f} s, {added_s:.0f} of faults")
    figures["longest wait, s"] = round(longest_s, 1)
    return broken


def stalled_s(faults: Sequence[Happened], since_s: float, until_s: float) -> float:
    """Return the part of a time in which a fault stood in the way."""
    total_s, reached_s = 0.0, since_s
    for fault in sorted(faults, key=lambda one: one.started_s):
        begun_s = max(fault.started_s, reached_s)
        ended_s = min(fault.ended_s + NOTICED_S, until_s)
        if ended_s > begun_s:
            total_s += ended_s - begun_s
            reached_s = ended_s
    return total_s
