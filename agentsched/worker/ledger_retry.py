"""How a worker repeats a step of the ledger while Redis does not answer."""

from collections.abc import Callable
from typing import TypeVar

from agentsched.errors import LedgerUnavailable
from agentsched.worker.leases import HeldLease

T = TypeVar("T")

PATIENCE_S = 3.0
"""How long a step is repeated where no deadline says so."""
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0


def persist(step: Callable[[], T], lease: HeldLease, *, until: float = 0.0) -> T:
    """Repeat a step until it has an answer; blocks.

    Args:
        step: repeating it must be harmless, as it is for every step of the ledger.
        lease: stopping it ends the tries.
        until: time of the lease's clock after which no new try begins; never sooner
            than `PATIENCE_S` from now.

    Raises:
        LedgerUnavailable: it never had an answer.
        EpochChanged: at once.
    """
    until = max(until, lease.clock.now_s() + PATIENCE_S)
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return step()
        except LedgerUnavailable:
            if lease.clock.now_s() + pause_s > until or lease.wait_stopped(pause_s):
                raise
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
