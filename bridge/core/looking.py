"""One look at the ledger's entries at a time; decides nothing of what it shows.

A look sees the entries as they are when it is asked for. Where the work is more than a
turn can do, a second look would see the same again, and each would add to the work.
"""

from collections.abc import Iterable

from bridge.core.commands import Command, Inspect
from bridge.core.state import BridgeState, Indexed


def may_look(state: BridgeState) -> bool:
    """Whether the last look is dealt with."""
    return not state.looks


def look(state: BridgeState, entries: Iterable[Indexed]) -> list[Command]:
    """Look at entries, and at no others before the answer is dealt with."""
    keys = tuple(entry.key for entry in entries)
    if not keys:
        return []
    state.looks = True
    return [Inspect(keys)]


def looked(state: BridgeState) -> None:
    """Note that the answer is here, or that there will be none."""
    state.looks = False
