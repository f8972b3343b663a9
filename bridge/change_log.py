"""Follows the ledger's change log in a thread; it applies nothing itself.

So a freed slot wakes the loop at once.
"""

import logging
import threading
from collections.abc import Callable
from functools import partial

from agentsched.errors import (
    EpochChanged,
    LedgerError,
    LedgerUnavailable,
    NewerFormat,
)
from agentsched.ledger.protocol import Ledger
from agentsched.ledger.values import START_OF_LOG, Change, ChangeKind
from agentsched.telemetry.health import Indicator
from bridge.core import events as ev
from bridge.effects import Inbox, failing
from bridge.room import Events, Room

logger = logging.getLogger("agentsched.bridge")

BLOCK_MS = 500
"""How long one read waits; a stop takes as long at the most."""
RETRY_S = 0.2
MOST_CHANGES = 4_000
"""What is handed over and not taken. The log itself is bounded, too: who falls behind it
takes a snapshot."""
MOST_FAILURES = 5
"""So many reads may fail in a row for a reason that nobody has thought of."""


class ChangeReader:
    """Hands every change over, in order.

    What the reader cannot go on after ends the loop, too: a bridge that is deaf would go on
    with an old picture. One that begins anew begins at the end of the log.

    Args:
        ledger: read from this thread; it must be safe to share.
        inbox: the loop's; called from this thread.
        now_ms: the clock.
        health: is told of every read.
        make_event: makes what this thread waits on.
        make_thread: makes the thread, which does not keep the process alive.
    """

    def __init__(  # noqa: PLR0913  (the last three have defaults)
        self,
        ledger: Ledger,
        inbox: Inbox,
        now_ms: Callable[[], int],
        health: Indicator | None = None,
        make_event: Events = threading.Event,
        make_thread: Callable[[Callable[[], None]], threading.Thread] | None = None,
    ) -> None:
        self._ledger = ledger
        self._inbox = inbox
        self._now_ms = now_ms
        self._health = health or Indicator("change log", BLOCK_MS)
        self._room = Room(MOST_CHANGES, make_event)
        self._stopped = make_event()
        self._epoch = self._cursor = ""
        self._failures = 0
        self.detailed = False
        """Whether entries and slots are read, too: only who leads needs them. Set it before
        the snapshot with which a dispatcher begins."""
        self._thread = (make_thread or _daemon_thread)(self._run)

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
        epoch = self._epoch
        while not self._stopped.is_set():
            if epoch != self._epoch:
                epoch, self._cursor = self._epoch, START_OF_LOG
            if not self._room.wait(RETRY_S):
                self._health.report()  # it is the loop that is behind
                continue
            try:
                self._read(epoch)
            except Exception as error:  # noqa: BLE001  (see the class)
                self._failed(error)

    def _read(self, epoch: str) -> None:
        try:
            self._cursor, changes = self._ledger.changes(
                epoch, self._cursor, BLOCK_MS, detailed=lambda: self.detailed
            )
        except EpochChanged:
            # Redis was put back: another epoch has to begin, then it goes on there.
            self._hand_over(epoch, [Change(ChangeKind.GONE, at=self._cursor)])
            self._stopped.wait(RETRY_S)
            return
        except (LedgerUnavailable, NewerFormat) as error:
            # The loop's own steps say the same.
            self._health.report(ok=False, detail=str(error))
            self._stopped.wait(RETRY_S)
            return
        self._failures = 0
        self._health.report()
        if changes and epoch == self._epoch:
            self._hand_over(epoch, changes)

    def _hand_over(self, epoch: str, changes: list[Change]) -> None:
        self._room.give(len(changes))
        self._inbox(partial(self._take, epoch, tuple(changes)))

    def _take(self, epoch: str, changes: tuple[Change, ...]) -> list[ev.Event]:
        self._room.take(len(changes))
        return [ev.Changed(changes, self._now_ms(), epoch)]

    def _failed(self, error: Exception) -> None:
        # Without its text, which may hold what requests say.
        detail = f"the change log cannot be read: {type(error).__name__}"
        self._health.report(ok=False, detail=detail)
        logger.error("%s, in %s", detail, _place(error))
        self._failures += 1
        if self._failures < MOST_FAILURES:
            self._stopped.wait(RETRY_S)
            return
        self._inbox(failing(LedgerError(detail)))
        self._stopped.set()


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    code = trace.tb_frame.f_code
    return f"{code.co_qualname}, line {trace.tb_lineno}"


def _daemon_thread(run: Callable[[], None]) -> threading.Thread:
    return threading.Thread(target=run, name="change-reader", daemon=True)
