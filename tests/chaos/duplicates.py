"""Why the raw reply topic has more than one reply for a request; computes."""

from collections import defaultdict

from tests.chaos.history import Happened, History, RawReply
from tests.chaos.recalls import until_poison_is_answered

LINGERS_S = 20.0
"""A reply that nobody acknowledged is sent again after 12 s, by a bridge that is there."""
PER_FAULT = 2
"""Its worker and a bridge may both miss an acknowledgement because of one fault."""


def raw_duplicates(history: History, figures) -> list[str]:
    """I4: the bytes differ only after a loss of Redis; I5: nothing is sent without cause.

    A cause touches the time from the sending of the request until its last reply.
    """
    by_id: dict[str, list[RawReply]] = defaultdict(list)
    for reply in history.replies:
        by_id[reply.id].append(reply)
    repeats, sent_s = defaultdict(int), {}
    for one in history.sent:
        repeats[one.id] += one.kind == "repeat"
        sent_s[one.id] = min(one.sent_s, sent_s.get(one.id, one.sent_s))
    faults, broken, doubled, differing = until_poison_is_answered(history), [], 0, 0
    for id_, replies in by_id.items():
        extra = max(0, len(replies) - 1 - repeats[id_])
        different = len({reply.raw for reply in replies}) > 1
        doubled, differing = doubled + extra, differing + different
        if extra or different:
            last_s = history.at_s(max(reply.at_ms for reply in replies))
            near = _near(faults, sent_s.get(id_, 0.0), last_s)
            if different and not any(fault.loses_redis for fault in near):
                broken.append(f"I4 {id_} has replies that differ")
            if extra > PER_FAULT * sum(fault.doubles for fault in near):
                broken.append(f"I5 {id_} was answered {len(replies)} times")
    figures |= {"raw duplicates": doubled, "differing": differing}
    return broken


def _near(faults: list[Happened], since_s: float, until_s: float) -> list[Happened]:
    return [
        fault
        for fault in faults
        if fault.started_s <= until_s and fault.ended_s + LINGERS_S >= since_s
    ]
