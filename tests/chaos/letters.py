"""Which record has to be a dead letter, and for which reason; computes.

Of two payloads under one identity, the one that is admitted first is answered, and each
record of the other becomes a dead letter. After a loss of Redis both may be answered.
"""

from collections import defaultdict
from typing import TYPE_CHECKING

from tests.chaos.history import History, Place
from tests.support.model_server import digest

if TYPE_CHECKING:
    from tests.chaos.traffic import Sent

Reasons = dict[Place, set[str]]


def dead_letters(history: History, figures) -> list[str]:
    """F16, F17, F19: who names no request, kills, or contradicts is a dead letter."""
    figures["dead letters"] = len(history.dead_letters)
    reasons: Reasons = defaultdict(set)
    for letter in history.dead_letters:
        reasons[letter.place].add(letter.reason)
    broken = []
    for one in history.sent:
        found = reasons.get(history.place(one), set())
        if one.reason and not found:
            at = f"{one.cls} {one.partition}/{one.offset}"
            broken.append(f"I1 no dead letter for {at}")
        elif found - ({one.reason} if one.reason else {"CONFLICT"}):
            broken.append(f"F17 a {one.kind} is a dead letter for {sorted(found)}")
    return broken + _conflicts(history, reasons)


def _conflicts(history: History, reasons: Reasons) -> list[str]:
    """F19: each record has the answer of its payload, or a dead letter CONFLICT."""
    of_id: dict[str, list[Sent]] = defaultdict(list)
    for one in history.sent:
        if one.kind in ("request", "repeat", "conflict"):
            of_id[one.id].append(one)
    answered, broken = _answered_prompts(history), []
    for id_, each in of_id.items():
        contradicted = any(one.kind == "conflict" for one in each)
        for one in each:
            dead = "CONFLICT" in reasons.get(history.place(one), ())
            told = history.told is None or history.place(one) in history.told
            if dead and not told:
                broken.append(
                    f"F19 nobody is told that a {one.kind} of {id_} is refused"
                )
            if dead and not contradicted:
                broken.append(f"F19 {id_} is a CONFLICT with nothing")
            elif contradicted and not dead and (id_, one.prompt) not in answered:
                broken.append(f"F19 a {one.kind} of {id_} has no dead letter CONFLICT")
    return broken


def _answered_prompts(history: History) -> set[tuple[str, str]]:
    """Return id and prompt of what was answered: by the reply's origin, or its content."""
    prompts = {history.place(one): one.prompt for one in history.sent if one.id}
    contents = {
        (one.id, f"{one.model} {digest(one.prompt)}"): one.prompt
        for one in history.sent
        if one.id
    }
    found = set()
    for reply in history.replies:
        by_content = contents.get((reply.id, reply.value.get("content")))
        prompt = prompts.get(reply.place) if reply.place else None
        found |= {(reply.id, one) for one in (prompt, by_content) if one is not None}
    return found
