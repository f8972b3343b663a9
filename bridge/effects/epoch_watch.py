"""Which epoch of the ledger this bridge works in, and whether Redis has lost something.

It keeps the highest pulse that was seen; what follows from a loss is decided elsewhere.
"""

from collections.abc import Callable

from agentsched.errors import EpochChanged, LedgerUnavailable
from agentsched.ledger.protocol import Membership
from agentsched.ledger.values import Beat
from agentsched.wire.epoch import NO_EPOCH, EpochCounter


class EpochWatch:
    """The open epoch.

    Args:
        membership: where the epoch is.
        begin: prepares an epoch; it is ours only afterwards. May raise LedgerError.
    """

    def __init__(self, membership: Membership, begin: Callable[[str], None]) -> None:
        self._membership = membership
        self._begin = begin
        self._known = NO_EPOCH
        self._heard = ""
        self._sure = True
        self.epoch = ""

    def remember(self, known: EpochCounter, last_change: str) -> None:
        """Remember what somebody else saw; see `Membership.beat`."""
        self._learn(known)
        if known.epoch == self._known.epoch:
            self._heard = last_change

    def doubt(self) -> None:
        """Redis did not answer: it may come back as an older one."""
        self._sure = False

    @property
    def is_sure(self) -> bool:
        """Whether Redis has answered since it was doubted."""
        return self._sure

    def check_if_doubted(self) -> Beat | None:
        """As `check`, but only after `doubt`."""
        return None if self._sure else self.check()

    def check(self) -> Beat | None:
        """Beat, and open the epoch that is there; None when it is the same.

        Raises:
            LedgerUnavailable: then the old epoch stays open.
        """
        beat = self._beat()
        opened = beat.pulse.epoch != self.epoch
        if opened:
            try:
                self._begin(beat.pulse.epoch)
            except EpochChanged as error:
                raise LedgerUnavailable("Redis was lost again: try later") from error
            # A Redis that is put back to before its limits were written shows it: its
            # counter is lower.
            if self._beat().pulse.epoch != beat.pulse.epoch:
                raise LedgerUnavailable("Redis was lost again: try later")
            self.epoch = beat.pulse.epoch
        self._sure = True
        return beat if opened else None

    def _beat(self) -> Beat:
        beat = self._membership.beat(self._known, self._heard)
        self._learn(beat.pulse)
        return beat

    def _learn(self, pulse: EpochCounter) -> None:
        """The last change is an entry of the log of the epoch that is known."""
        if pulse.epoch > self._known.epoch:
            self._heard = ""
        self._known = max(self._known, pulse)

    @property
    def pulse(self) -> EpochCounter:
        """The highest that was seen."""
        return self._known
