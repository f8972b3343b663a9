"""Which step may lead from which state to which: the table that the contract tests walk.

It decides nothing at run time.
"""

from collections.abc import Mapping
from types import MappingProxyType

from agentsched.ledger.values import State

_UNANSWERED = (State.READY, State.RUNNING, State.DONE)
_MOVES: dict[str, dict[State | None, set[State | None]]] = {
    "admit": {None: {None, State.READY, State.DONE}},
    "withdraw": {State.READY: {None, State.READY}},
    "plan": {},
    "turn": {State.READY: {State.READY, State.RUNNING}},
    "expire": {State.RUNNING: {State.READY, State.RUNNING}},
    "renew": {},
    "put_back": {State.RUNNING: {State.READY, State.RUNNING}},
    "complete": {
        State.READY: {State.READY, State.DONE},
        State.RUNNING: {State.RUNNING, State.DONE},
    },
    "cancel": {},
    "published": {state: {State.ANSWERED} for state in _UNANSWERED},
    "forget_answered": {state: {None} for state in _UNANSWERED},
}

STATES: tuple[State | None, ...] = (None, *State)
STEPS: tuple[str, ...] = tuple(_MOVES)

STEP_TABLE: Mapping[tuple[str, State | None], frozenset[State | None]] = (
    MappingProxyType(
        {
            (step, state): frozenset(moves.get(state, {state}))
            for step, moves in _MOVES.items()
            for state in STATES
        }
    )
)
"""(step, state; None: unknown) -> where the entry may be afterwards. Only its own state:
a no-op. Its own state beside others: the step may be refused there."""


def to_markdown() -> str:
    """Return the table as `docs/delivery.md` has it."""
    head = ["step", *(_name(state) for state in STATES)]
    rows = [head, ["---"] * len(head)]
    for step in STEPS:
        cells = [_cell(STEP_TABLE[step, state], state) for state in STATES]
        rows.append([f"`{step}`", *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _name(state: State | None) -> str:
    return state.name if state else "unknown"


def _cell(reached: frozenset[State | None], state: State | None) -> str:
    moves = [_name(to) for to in STATES if to in reached and to is not state]
    if not moves:
        return "-"
    return " or ".join(moves) + (" *" if state in reached else "")
