"""Reads the histories of a run and says which promise was broken; changes nothing."""

from collections import defaultdict
from math import inf

from agentsched.wire.codec import decode_message
from tests.chaos.deadlines import in_time
from tests.chaos.duplicates import raw_duplicates
from tests.chaos.history import History, RawReply, Verdict
from tests.chaos.letters import dead_letters
from tests.chaos.overlaps import capacity_kept
from tests.chaos.recalls import called_again
from tests.chaos.recovery import alone, answered, recovery_s
from tests.chaos.scene import BRIDGE
from tests.chaos.traffic import Sent
from tests.support.model_server import digest

RECOVERY_S = 20.0
"""Work goes on so soon after a process of ours, or Redis, was started again."""
NOTICED_S = 11.0
"""A dead bridge's partitions go to its peer after the session time-out (10 s); what was
killed is started again after 1 s."""
KILLS = frozenset({"F1", "F2", "F3", "F8"})
MAXPOLL = "MAXPOLL"
"""What librdkafka calls it when a consumer's time between two polls was too long."""


def check(history: History) -> Verdict:
    """Compare a history with what is promised; names are those of the invariants.

    Asked here: I1 (and F19), I2, I3, I4, I5, I7, I8, I9, I12 in the logs, I13, L1, L2,
    the reason of every dead letter, the capacities, and the recovery after a kill. I10
    is asked by `run.settle`, whose figure is in `left_over`.

    Asked elsewhere: I6 (one complete wins) by `tests/simulation/witness.py`, because no
    history of a real run shows it; I11 (priority) by `tests/faults/test_overload.py` and
    `tests/unit/scheduling/`, because faults leave no order to compare; I12
    outside of logs (metrics, events, Flower, Redis) by `tests/e2e/test_canary.py`.
    """
    verdict = Verdict(struck=[fault.number for fault in history.faults])
    for rule in (
        _answered,
        in_time,
        _visible,
        _strangers,
        _matching,
        raw_duplicates,
        dead_letters,
        called_again,
        capacity_kept,
        _commits,
        _recovery,
        _nothing_left,
        _no_canary,
        _in_the_group,
    ):
        verdict.broken += rule(history, verdict.figures)
    return verdict


def _requests(history: History) -> dict[str, Sent]:
    kinds = ("request", "poison")
    return {one.id: one for one in reversed(history.sent) if one.kind in kinds}


def _answered(history: History, figures) -> list[str]:
    """I1: every accepted request has a terminal reply."""
    accepted, answered = _requests(history), {reply.id for reply in history.replies}
    lost = sorted(accepted.keys() - answered)
    figures |= {"accepted": len(accepted), "lost": len(lost)}
    fenced = sum(log.count('"request_lost"') for log in history.logs.values())
    figures |= {"faults": len(history.faults), "late answers thrown away": fenced}
    return [f"I1 no reply for {id_}" for id_ in lost]


def _visible(history: History, figures) -> list[str]:
    """L2: a client of ours sees one reply, the first one of the topic."""
    first: dict[str, RawReply] = {}
    for reply in history.replies:
        first.setdefault(reply.id, reply)
    asked = [one.id for one in history.sent if one.asked]
    broken = [
        f"L2 {id_} saw {len(history.seen.get(id_, []))} replies"
        for id_ in asked
        if len(history.seen.get(id_, [])) != 1
    ]
    figures |= {"asked by a client": len(asked)}
    return broken + [
        f"L2 {id_} did not see the first reply"
        for id_, replies in history.seen.items()
        for reply in replies
        if id_ not in first or decode_message(first[id_].raw) != reply
    ]


def _strangers(history: History, figures) -> list[str]:
    """I2: nobody is answered who did not ask."""
    del figures
    strange = sorted({reply.id for reply in history.replies} - history.tried)
    return [f"I2 a reply for {id_}, which nobody sent" for id_ in strange]


def _matching(history: History, figures) -> list[str]:
    """I3: a completed reply is the answer to this request, by the model it asked for."""
    broken, codes, right = [], defaultdict(int), defaultdict(set)
    poison = {one.id for one in history.sent if one.kind == "poison"}
    for one in history.sent:
        # Of two payloads under one identity the one that is admitted first counts.
        right[one.id].add(f"{one.model} {digest(one.prompt)}")
    for reply in history.replies:
        if reply.value["status"] == "failed":
            code = reply.value["error"]["code"]
            codes[code] += 1
            if (code == "POISON") != (reply.id in poison):
                broken.append(f"F16 {reply.id} was answered with {code}")
            continue
        if right[reply.id] and reply.value["content"] not in right[reply.id]:
            broken.append(f"I3 {reply.id} was answered with another's answer")
    figures |= {f"failed {code}": count for code, count in codes.items()}
    return broken


def _commits(history: History, figures) -> list[str]:
    """I8: no commit passes a record that is unanswered then, and none goes back."""
    done_ms: dict[str | tuple[str, int, int], int] = {}
    for reply in history.replies:
        done_ms.setdefault(reply.id, reply.at_ms)
    for letter in history.dead_letters:
        done_ms.setdefault(letter.place, letter.at_ms)
    waiting = defaultdict(list)
    for one in history.sent:
        if one.offset >= 0:
            waiting[history.topics[one.cls], one.partition].append(one)
    for records in waiting.values():
        records.sort(key=lambda one: one.offset, reverse=True)

    broken, reached = [], defaultdict(int)
    for commit in history.commits:
        where = (commit.topic, commit.partition)
        if commit.offset < reached[where]:
            broken.append(f"I8 {where} went back to {commit.offset}")
        reached[where] = max(reached[where], commit.offset)
        records = waiting[where]
        while records and records[-1].offset < commit.offset:
            one = records.pop()
            times = [done_ms.get(one.id), done_ms.get((*where, one.offset))]
            if min((ms for ms in times if ms is not None), default=inf) > commit.at_ms:
                broken.append(f"I8 {where} {one.offset} was committed unanswered")
    figures |= {"commits": len(history.commits)}
    return broken


def _recovery(history: History, figures) -> list[str]:
    """Work goes on soon after a kill, where no other fault is in the way."""
    times = answered(history.sent, history.replies, history.epoch_ms)
    most_s = NOTICED_S + RECOVERY_S
    took = [
        (recovery_s(fault, times), fault)
        for fault in history.faults
        if fault.number in KILLS and alone(fault, history.faults, most_s)
    ]
    all_s = [recovery_s(fault, times) for fault in history.faults]
    figures["longest pause after a fault, s"] = round(max(all_s, default=0.0), 1)
    if took:
        figures["after a kill alone, s"] = round(max(took_s for took_s, _ in took), 1)
    return [
        f"recovery: {took_s:.0f} s after {fault.number} {fault.name}"
        for took_s, fault in took
        if took_s > most_s
    ]


def _nothing_left(history: History, figures) -> list[str]:
    """I9: all offsets are committed, no entry and no slot is left."""
    del figures
    return [f"I9 {count} {what}" for what, count in history.left_over.items() if count]


def _no_canary(history: History, figures) -> list[str]:
    """I12: no prompt stands in a log."""
    del figures
    return [
        f"I12 a prompt stands in {name}"
        for name, text in history.logs.items()
        if history.canary in text
    ]


def _in_the_group(history: History, figures) -> list[str]:
    """I13: no bridge is put out of its group because it did not poll."""
    del figures
    return [
        f"I13 {name} did not poll in time"
        for name, text in history.logs.items()
        if name.startswith(BRIDGE) and MAXPOLL in text
    ]
