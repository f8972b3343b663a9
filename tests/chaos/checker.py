"""Reads the histories of a run and says which promise was broken; changes nothing."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf

from agentsched.codec import decode_message
from agentsched.types import Reply
from tests.chaos.commits import Commit
from tests.chaos.recovery import alone, answered, recovery_s
from tests.chaos.traffic import Sent
from tests.support.model_server import Call, digest

RECOVERY_S = 20.0
"""Work goes on so soon after a process of ours, or Redis, was started again."""
NOTICED_S = 11.0
"""A dead bridge's partitions go to its peer after the session time-out (10 s); what was
killed is started again after 1 s."""
KILLS = frozenset({"F1", "F2", "F3", "F8"})


@dataclass(frozen=True)
class Happened:
    """One fault of the run, on the monotonic clock."""

    number: str
    name: str
    started_s: float
    ended_s: float
    recalls: bool
    loses_redis: bool


@dataclass(frozen=True)
class RawReply:
    """One record of the reply topic."""

    id: str
    value: dict
    raw: bytes
    at_ms: int = 0
    """When Kafka got it."""


@dataclass(frozen=True)
class Letter:
    """One dead letter: its headers, and when Kafka got it."""

    headers: dict[str, str]
    at_ms: int = 0

    @property
    def place(self) -> tuple[str, int, int]:
        """The record that it is about."""
        headers = self.headers
        topic = headers["source_topic"]
        return topic, int(headers["source_partition"]), int(headers["source_offset"])


@dataclass
class History:
    """All that a run has seen."""

    sent: list[Sent]
    tried: set[str]
    """Ids of all that was sent, also where Kafka did not acknowledge it."""
    replies: list[RawReply]
    seen: dict[str, list[Reply]]
    """What the client handed to its callers, by id."""
    dead_letters: list[Letter]
    commits: list[Commit]
    """All of the bridges' group, in their order."""
    topics: dict[str, str]
    """The input topic of each class."""
    calls: list[Call]
    faults: list[Happened]
    lease_s: float
    capacity: dict[str, int]
    peaks: dict[str, int]
    left_over: dict[str, int]
    """What should be nothing at the end: READY entries, slots, unanswered offsets."""
    logs: dict[str, str]
    canary: str
    epoch_ms: float = 0.0
    """The wall clock when the monotonic one was 0."""


@dataclass
class Verdict:
    """What the checker found."""

    broken: list[str] = field(default_factory=list)
    figures: dict[str, float | str] = field(default_factory=dict)


def check(history: History) -> Verdict:
    """Compare a history with what is promised (invariants I1-I12, L2 of the design)."""
    verdict = Verdict()
    for rule in (
        _answered,
        _visible,
        _strangers,
        _matching,
        _raw_duplicates,
        _dead_letters,
        _calls,
        _in_flight,
        _commits,
        _recovery,
        _nothing_left,
        _no_canary,
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


def _raw_duplicates(history: History, figures) -> list[str]:
    """I4: raw duplicates are byte-identical, unless Redis lost its data; I5: a cause."""
    by_id = defaultdict(list)
    for reply in history.replies:
        by_id[reply.id].append(reply.raw)
    repeats = defaultdict(int)
    for one in history.sent:
        repeats[one.id] += one.kind == "repeat"
    loss = any(fault.loses_redis for fault in history.faults)
    broken, doubled, differing = [], 0, 0
    for id_, raws in by_id.items():
        extra = len(raws) - 1 - repeats[id_]
        doubled += max(0, extra)
        different = len(set(raws)) > 1
        differing += different
        if different and not loss:
            broken.append(f"I4 {id_} has replies that differ")
        if extra > 0 and not history.faults:
            broken.append(f"I5 {id_} was answered {len(raws)} times without a cause")
    figures |= {"raw duplicates": doubled, "differing": differing}
    return broken


def _dead_letters(history: History, figures) -> list[str]:
    """What names no request becomes a dead letter; so does poison."""
    there = {letter.place for letter in history.dead_letters}
    figures["dead letters"] = len(history.dead_letters)
    return [
        f"I1 no dead letter for {one.cls} {one.partition}/{one.offset}"
        for one in history.sent
        if one.kind in ("bad", "poison")
        and (history.topics[one.cls], one.partition, one.offset) not in there
    ]


def _calls(history: History, figures) -> list[str]:
    """I7: a model is called once, and again only where a fault was in the way."""
    by_prompt = defaultdict(list)
    for call in history.calls:
        by_prompt[call.prompt].append(call)
    again, broken = 0, []
    faults = _until_poison_is_answered(history)
    for prompt, calls in by_prompt.items():
        again += len(calls) - 1
        for first, second in pairwise(calls):
            if not _excused(faults, history.lease_s, first, second):
                broken.append(f"I7 {prompt} was called again without a cause")
    figures["calls per request"] = round(len(history.calls) / max(1, len(by_prompt)), 4)
    figures["called again"] = again
    return broken


def _until_poison_is_answered(history: History) -> list[Happened]:
    """Poison waits like others, and kills whoever reads it until it is answered."""
    poison = iter([one.id for one in history.sent if one.kind == "poison"])
    first = {one.id: one.at_ms for one in reversed(history.replies)}
    faults = list(history.faults)
    for number, fault in enumerate(faults):
        if fault.number == "F16":
            at_ms = first.get(next(poison, ""), inf)
            answered_s = (at_ms - history.epoch_ms) / 1000
            faults[number] = replace(fault, ended_s=max(fault.ended_s, answered_s))
    return faults


def _excused(
    faults: Sequence[Happened], lease_s: float, first: Call, second: Call
) -> bool:
    """A fault touched the time from the first call until the second."""
    return any(
        fault.recalls
        and fault.started_s <= second.started_s
        and fault.ended_s + 2 * lease_s + 30 >= first.started_s
        for fault in faults
    )


def _in_flight(history: History, figures) -> list[str]:
    """Calls at the model server never exceed the capacity, but for lost leases."""
    for model, peak in history.peaks.items():
        figures[f"peak {model} of {history.capacity[model]}"] = peak
    if any(fault.recalls for fault in history.faults):
        return []  # the call of a worker that was given up may still run
    return [
        f"capacity of {model}: {peak} calls at once"
        for model, peak in history.peaks.items()
        if peak > history.capacity[model]
    ]


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
