"""What Kafka has acknowledged and the ledger has not been told yet.

It is told at once where Redis answers, else later, in the same order: no acknowledgement
makes the loop wait for a Redis that has just been silent, however many come back.
"""

from collections import deque
from collections.abc import Callable

from agentsched.errors import LedgerError, LedgerUnavailable
from bridge.effects.epoch_watch import EpochWatch
from bridge.effects.outage import Outage
from bridge.observer import BridgeObserver

MOST = 10_000
"""So many are kept; what is dropped is found by the reconciler, and done again."""

MOST_AT_ONCE = 100
"""After an outage: the loop has other things to do between."""

Step = Callable[[], None]
"""Tells the ledger; may be repeated. Raises LedgerError."""


class Unnoted:
    """For the loop's thread.

    Args:
        epochs: a Redis that is doubted is told nothing.
        outage: of Redis.
        observer: is told of what is given up.
    """

    def __init__(
        self, epochs: EpochWatch, outage: Outage, observer: BridgeObserver
    ) -> None:
        self._epochs = epochs
        self._outage = outage
        self._observer = observer
        self._steps: deque[tuple[Step, Step]] = deque()

    def add(self, step: Step, given_up: Step = lambda: None) -> None:
        """Tell the ledger, now or later; `given_up` is called if that cannot be."""
        self._steps.append((step, given_up))
        self.tell()
        if len(self._steps) > MOST:
            self._give_up(LedgerUnavailable("too much waits for Redis"))

    def tell(self) -> None:
        """Tell the ledger a part of it now; blocks for one time-out at the most."""
        for _ in range(MOST_AT_ONCE):
            if not self._steps or self._outage.lasts or not self._epochs.is_sure:
                return
            try:
                self._steps[0][0]()
            except LedgerUnavailable as error:
                self._observer.meter.redis.failed("note", error)
                self._epochs.doubt()
                self._outage.begin()
            except LedgerError as error:  # another epoch, or a newer version
                self._give_up(error)
            else:
                self._steps.popleft()

    def _give_up(self, error: LedgerError) -> None:
        _, given_up = self._steps.popleft()
        self._observer.not_noted(error)
        given_up()
