"""Why a model was called again: which fault struck who held the request (I7); computes.

A fault is a cause only where it struck the worker that held the request, while it held
it: its process, the link of all workers to Redis, or Redis itself. What a lost line of a
log hides is excused by any fault near by; that is counted apart.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf

from tests.chaos.faults import MODEL, REDIS
from tests.chaos.history import Happened, History
from tests.chaos.holds import Hold, held_of
from tests.chaos.scene import WORKER
from tests.support.model_server import Call

SLACK_S = 0.5
"""Between a step and its line in a log."""
NOTICED_S = 20.0
"""So long after its return, workers may still run what a lost Redis had given them."""
DRAIN_S = 9.0
"""A worker that stops in order waits 10 s for its calls; less what hides in rounding."""
UNSEEN = "a lost line of a log"


def called_again(history: History, figures) -> list[str]:
    """I7: a model is called once, and again only where a fault struck who called."""
    by_prompt = defaultdict(list)
    for call in history.calls:
        by_prompt[call.prompt].append(call)
    ids = {one.prompt: one.id for one in history.sent if one.id}
    causes, found, broken = Causes(history), Counter(), []
    for prompt, calls in by_prompt.items():
        id_ = ids.get(prompt, prompt.rpartition(" ")[2])
        for first, second in pairwise(calls):
            if cause := causes.of(id_, first, second):
                found[cause] += 1
            else:
                broken.append(f"I7 {prompt} was called again without a cause")
    figures["calls per request"] = round(len(history.calls) / max(1, len(by_prompt)), 4)
    figures["called again"] = found.total() + len(broken)
    said = ", ".join(f"{cause} {count}" for cause, count in found.most_common())
    figures["called again because of"] = said or "nothing"
    return broken


class Causes:
    """Finds what explains a second call."""

    def __init__(self, history: History) -> None:
        begun_s = min((call.started_s for call in history.calls), default=0.0)
        self._lease_s = history.lease_s
        self._held = held_of(history.logs, history.epoch_ms, begun_s)
        self._faults = until_poison_is_answered(history)
        self._answered_s = {
            reply.id: history.at_s(reply.at_ms) for reply in reversed(history.replies)
        }
        kinds = ("repeat", "conflict")
        self._sent_again = {one.id for one in history.sent if one.kind in kinds}

    def of(self, id_: str, first: Call, second: Call) -> str | None:
        """Return a fault's number, or another cause; None: there is none."""
        holds = [
            hold
            for hold in self._held.by_id.get(id_, ())
            if hold.taken_s <= second.started_s + SLACK_S
            and hold.ended_s >= first.started_s - SLACK_S
        ]
        # The last take is that of the second call itself: what struck it is no cause.
        own = bool(holds) and holds[-1].taken_s > first.started_s
        earlier = holds[:-1] if own else holds
        for fault in self._faults:
            if fault.recalls and (
                self._lost_with_redis(fault, id_, first, second)
                or self._broken_off(fault, holds, first, second)
                or any(self._struck(fault, hold, second) for hold in earlier)
            ):
                return fault.number
        if any(self._stopped(hold, first) for hold in holds):
            return "F24"
        unseen = self._unseen(holds, first, second)
        return UNSEEN if unseen and self._near(first, second) else None

    def _lost_with_redis(
        self, fault: Happened, id_: str, first: Call, second: Call
    ) -> bool:
        """Redis forgot it: it had no reply in Kafka yet, or the agent sent it again."""
        forgotten = (
            fault.loses_redis
            and fault.started_s <= second.started_s
            and fault.ended_s + NOTICED_S >= first.started_s
        )
        answered_s = self._answered_s.get(id_, inf)
        unanswered = answered_s > fault.started_s - SLACK_S
        return forgotten and (unanswered or id_ in self._sent_again)

    def _broken_off(
        self, fault: Happened, holds: Sequence[Hold], first: Call, second: Call
    ) -> bool:
        """The model server broke the first call off: it is tried once more in place."""
        return (
            MODEL in fault.targets
            and not any(
                first.started_s < hold.taken_s <= second.started_s for hold in holds
            )
            and _meets(fault, first.started_s, second.started_s, SLACK_S)
        )

    def _struck(self, fault: Happened, hold: Hold, second: Call) -> bool:
        """The fault hit who held the request, while it did."""
        until_s = min(hold.ended_s, second.started_s)
        since_s = hold.taken_s - SLACK_S
        if fault.number == "F16":
            return _meets(fault, since_s, until_s, 0.0) and any(
                death.worker == hold.worker
                and death.before_s >= since_s
                and death.after_s <= until_s
                for death in self._held.deaths
            )
        # A link stalls for a while after it was mended; a process does not.
        shared = {WORKER, REDIS}.intersection(fault.targets)
        after_s = 2 * self._lease_s if shared else self._lease_s
        hit = bool(shared) or hold.worker in fault.targets
        return hit and _meets(fault, since_s, until_s, after_s)

    def _stopped(self, hold: Hold, first: Call) -> bool:
        """A worker that was restarted in order gave up a call that outlasts all."""
        return (
            hold.how == "request_put_back"
            and hold.ended_s - first.started_s >= DRAIN_S
            and any(
                fault.number == "F24"
                and _meets(fault, hold.taken_s, hold.ended_s, 2 * DRAIN_S)
                for fault in self._faults
            )
        )

    def _unseen(self, holds: Sequence[Hold], first: Call, second: Call) -> bool:
        """A take of the two calls has no line, and its worker may have lost one."""
        before = [h for h in holds if h.taken_s <= first.started_s + SLACK_S]
        between = [h for h in holds if h.taken_s > first.started_s + SLACK_S]
        return (not before and self._loses_lines(first)) or (
            not between and self._loses_lines(second)
        )

    def _loses_lines(self, call: Call) -> bool:
        """The disk was full for a worker of this model, or its process died then."""
        of_model, at_s = f"{WORKER}-{call.model}-", call.started_s
        return any(
            fault.number == "F25d"
            and fault.targets[0].startswith(of_model)
            and _meets(fault, at_s, at_s, 2 * SLACK_S)
            for fault in self._faults
        ) or any(
            death.worker.startswith(of_model)
            and death.after_s - SLACK_S <= at_s <= death.before_s
            for death in self._held.deaths
        )

    def _near(self, first: Call, second: Call) -> bool:
        """Any fault that may cost a call touched the time between the two."""
        after_s = 2 * self._lease_s + 30
        return any(
            fault.recalls and _meets(fault, first.started_s, second.started_s, after_s)
            for fault in self._faults
        )


def until_poison_is_answered(history: History) -> list[Happened]:
    """Poison waits like others, and kills whoever reads it until it is answered."""
    poison = iter([one.id for one in history.sent if one.kind == "poison"])
    first = {one.id: one.at_ms for one in reversed(history.replies)}
    faults = list(history.faults)
    for number, fault in enumerate(faults):
        if fault.number == "F16":
            answered_s = history.at_s(first.get(next(poison, ""), inf))
            faults[number] = replace(fault, ended_s=max(fault.ended_s, answered_s))
    return faults


def _meets(fault: Happened, since_s: float, until_s: float, after_s: float) -> bool:
    """The fault, with what it leaves behind it, touches this time."""
    return fault.started_s <= until_s and fault.ended_s + after_s >= since_s
