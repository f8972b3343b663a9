"""Follows the ledger's change log in a thread; it applies nothing itself.

So a freed slot wakes the loop at once.
"""

import logging
import threading
from collections.abc import Callable

from agentsched.errors import EpochChanged, LedgerUnavailable, NewerFormat
from agentsched.ledger.protocol import Ledger
from agentsched.ledger.values import START_OF_LOG, Change, ChangeKind

logger = logging.getLogger("agentsched.bridge")

BLOCK_MS = 500
"""How long one read waits; a stop takes as long at the most."""
RETRY_S = 0.2

Deliver = Callable[[str, list[Change]], None]


class ChangeReader:
    """Hands every change to `deliver`, in order.

    Args:
        ledger: read from this thread; it must be safe to share.
        deliver: takes the epoch and the changes of one read; called in this thread.
    """

    def __init__(self, ledger: Ledger, deliver: Deliver) -> None:
        self._ledger = ledger
        self._deliver = deliver
        self._stopped = threading.Event()
        self._epoch = ""
        self._thread = threading.Thread(
            target=self._run, name="change-reader", daemon=True
        )

    def start(self, epoch: str, cursor: str) -> None:
        """Begin after `cursor` of an epoch."""
        self._epoch, self._cursor = epoch, cursor
        self._thread.start()

    def switch(self, epoch: str) -> None:
        """Go on with another epoch, from its beginning."""
        self._epoch = epoch

    def stop(self) -> None:
        """End the thread; idempotent."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        epoch, cursor = self._epoch, self._cursor
        while not self._stopped.is_set():
            if epoch != self._epoch:
                epoch, cursor = self._epoch, START_OF_LOG
            try:
                cursor, changes = self._ledger.changes(epoch, cursor, BLOCK_MS)
            except EpochChanged:
                # Redis was put back: another epoch has to begin, then it goes on there.
                self._deliver(epoch, [Change(ChangeKind.GONE, at=cursor)])
                self._stopped.wait(RETRY_S)
                continue
            except (LedgerUnavailable, NewerFormat):
                self._stopped.wait(RETRY_S)  # the loop's own steps say the same
                continue
            if changes and epoch == self._epoch:
                self._deliver(epoch, changes)
