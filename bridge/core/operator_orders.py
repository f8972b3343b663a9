"""Follows what operators ordered: what may start, and whose requests are refused.

A refused request is answered like an overdue one (`termination`); what is in flight ends by
itself.
"""

from agentsched.wire.terminal_errors import BLOCKED
from bridge.core import explain, index, report, termination
from bridge.core.commands import Command, Report
from bridge.core.events import OrdersSeen
from bridge.core.state import BridgeState, Indexed, Stage

BATCH = 500
"""Refusals in one step: as many as one read may bring."""
QUESTIONS_AT_ONCE = 3
"""An answer may take 0.3 s with a million requests, and heartbeats must not be late."""


def on_orders(state: BridgeState, event: OrdersSeen) -> list[Command]:
    """Note the controls that are in force, and answer what is asked."""
    changed = state.controls != event.controls
    state.controls = event.controls
    refresh_blocked(state)
    # Those that are left stand in the next orders.
    asked = event.questions[:QUESTIONS_AT_ONCE]
    answers = [explain.answer(state, question) for question in asked]
    # Who drains waits for a report that says so.
    return [*answers, *([Report(report.report(state))] if changed else [])]


def refresh_blocked(state: BridgeState) -> None:
    """Work out whose requests are refused: by order, or by the configuration."""
    ordered = state.controls.blocked if state.controls else ()
    blocked = state.rules.blocked_agents.union(ordered)
    if blocked == state.blocked:
        return
    fresh, state.blocked = blocked - state.blocked, blocked
    state.lead.synced_ms = -1  # the board is without what is blocked: take it anew
    if fresh:
        # A scan, but only when an operator blocks somebody: 0.2 s for a million.
        state.to_refuse.extend(
            entry
            for classes in state.waiting.values()
            for queue in classes.values()
            for entry in queue
            if entry.traits.agent_id in fresh
        )


def refuse(state: BridgeState) -> list[Command]:
    """Answer requests of blocked agents that are only in Kafka, new ones too.

    Those in the ready set are not started (`dispatcher`), and answered when the
    reconciler looks at them.
    """
    if state.draining or not state.to_refuse:
        return []
    refused: list[Indexed] = []
    for _ in range(min(BATCH, len(state.to_refuse))):
        entry = state.to_refuse.popleft()
        if entry.stage is not Stage.WAITING or not is_blocked(state, entry):
            continue
        if not index.is_indexed(state, entry):
            continue  # given up, or answered
        partition = state.partitions[entry.source]
        if not partition.may_admit or entry.retry_ms > state.now_ms:
            # It may be admitted or answered, that is not known yet; or it was tried.
            state.to_refuse.append(entry)
        else:
            refused.append(entry)
    return termination.end_waiting(state, refused, BLOCKED)


def is_blocked(state: BridgeState, entry: Indexed) -> bool:
    """Return whether a request is refused because of its agent."""
    return entry.traits.agent_id in state.blocked


def starts(state: BridgeState, model: str) -> bool:
    """Return whether requests of a model may start.

    As long as a bridge does not know what operators ordered, it starts nothing.
    """
    return state.controls is not None and state.controls.starts(model)
