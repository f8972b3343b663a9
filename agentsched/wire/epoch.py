"""How far the ledger has got: the epoch, and the counter within it."""

from typing import NamedTuple


class EpochCounter(NamedTuple):
    """How far the ledger has got; it only grows, in this order.

    Who once saw a higher one than Redis shows now knows that Redis has lost something.
    """

    epoch: str
    """Hex digits: a generation (8 digits), then random ones; "": none."""
    beats: int
    """Raised by every bridge each second."""

    def next_epoch(self, random_hex: str) -> str:
        """Return an epoch that comes after this one."""
        return f"{self.generation + 1:08x}{random_hex}"

    @property
    def generation(self) -> int:
        """How many epochs there were, with this one, as far as was known."""
        return int(self.epoch[:8] or "0", 16)


NO_EPOCH = EpochCounter("", 0)
