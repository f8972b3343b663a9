"""The answered offsets of the ledger in memory; nothing here locks."""

from collections.abc import Iterable

from agentsched.ledger.answered_offsets import BLOCK_OFFSETS, runs_of, within


class Offsets:
    """Per source partition: which offsets are answered, and its last watermark."""

    def __init__(self) -> None:
        self._done: dict[str, set[int]] = {}
        self._watermarks: dict[str, int] = {}

    def is_done(self, source: str, offset: int) -> bool:
        """Whether it is answered, and not forgotten."""
        return offset in self._done.get(source, ())

    def mark_done(self, source: str, offsets: Iterable[int]) -> None:
        """Note that these are answered."""
        self._done.setdefault(source, set()).update(offsets)

    def done(self, source: str, start: int, stop: int) -> tuple[range, ...]:
        """Return what is answered from `start` (inclusive) to `stop` (exclusive)."""
        return tuple(within(runs_of(sorted(self._done.get(source, ()))), start, stop))

    def watermark(self, source: str) -> int:
        """Return the last one that Kafka has acknowledged; 0: none."""
        return self._watermarks.get(source, 0)

    def forget(self, source: str, watermark: int) -> None:
        """Note the watermark; drop blocks of offsets that lie wholly below it."""
        self._watermarks[source] = watermark
        first = watermark // BLOCK_OFFSETS * BLOCK_OFFSETS
        done = self._done.get(source, set())
        self._done[source] = {offset for offset in done if offset >= first}
