"""One thread of a worker process that hears which leases were voided, and stops them.

What it misses, the next renewal finds: it may be lost without harm but time.
"""

import logging
import threading

from agentsched.errors import LedgerUnavailable
from agentsched.ledger.protocol import VoidedLeases
from agentsched.worker.leases import LeaseBook, Stop

logger = logging.getLogger(__name__)

WAIT_S = 0.5
"""A stop takes as long at the most."""
RETRY_S = 1.0


class AbortListener:
    """Stops the calls whose requests somebody else has answered.

    Args:
        voided: where it hears of them; closed by `stop`.
        leases: what this process holds.
    """

    def __init__(self, voided: VoidedLeases, leases: LeaseBook) -> None:
        self._voided = voided
        self._leases = leases
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aborts", daemon=True)

    def start(self) -> None:
        """Start the thread; call it once."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread; waits up to `timeout_s`; idempotent."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                lease_id = self._voided.take(WAIT_S)
            except LedgerUnavailable:  # the keeper's log says it
                self._stopped.wait(RETRY_S)
                continue
            if lease_id is not None:
                self._leases.stop_lease(lease_id, Stop.LOST)
        self._voided.close()
