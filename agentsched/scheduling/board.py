"""The dispatcher's picture of the ready set and of the slots in use.

It follows the ledger's change log; the ledger decides when the two differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from agentsched.ledger.values import ReadyEntry, Slot, Snapshot
from agentsched.scheduling.order import RankedQueue, rank

Flow = tuple[tuple[str, ...], str]
"""(models that may answer, class): who competes with whom."""


@dataclass(slots=True)
class _Taken:
    slot: Slot
    since_ms: int


class Board:
    """READY entries by flow, and slots in use.

    Every change is absolute: applying one twice, or late, ends in the same picture.
    """

    def __init__(self) -> None:
        self._entries: dict[str, ReadyEntry] = {}
        self._flows: dict[Flow, RankedQueue[str]] = {}
        self._later: dict[str, ReadyEntry] = {}
        self._taken: dict[str, _Taken] = {}
        self._ahead_ms = 0

    def reset(self, snapshot: Snapshot, now_ms: int) -> None:
        """Replace the whole picture; slots that were known keep their start.

        Not-before times are of the ledger's clock, all else of the caller's.
        """
        known = self._taken
        self._ahead_ms = snapshot.now_ms - now_ms
        self._entries, self._flows, self._later, self._taken = {}, {}, {}, {}
        for entry in snapshot.ready:
            self.ready(entry, now_ms)
        for slot in snapshot.slots:
            before = known.get(slot.key)
            since_ms = before.since_ms if before else now_ms
            self._taken[slot.key] = _Taken(slot, since_ms)

    def ready(self, entry: ReadyEntry, now_ms: int) -> None:
        """Add an entry, or renew it; one that is too early waits aside."""
        key = entry.facts.key
        self.left(key)
        if self._too_early(entry, now_ms):
            self._later[key] = entry
            return
        self._entries[key] = entry
        flow = (entry.facts.models, entry.facts.cls)
        self._flows.setdefault(flow, RankedQueue()).add(key, rank(entry.facts))

    def left(self, key: str) -> None:
        """Remove an entry from the ready set."""
        self._later.pop(key, None)
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        flow = (entry.facts.models, entry.facts.cls)
        self._flows[flow].discard(key)
        if not len(self._flows[flow]):
            del self._flows[flow]

    def taken(self, slot: Slot, now_ms: int) -> None:
        """Note a slot in use; its request is no longer READY."""
        self.left(slot.key)
        self._taken[slot.key] = _Taken(slot, now_ms)

    def freed(self, key: str, now_ms: int) -> tuple[Slot, int] | None:
        """Free a slot; returns it with the milliseconds that it was in use."""
        taken = self._taken.pop(key, None)
        return (taken.slot, now_ms - taken.since_ms) if taken else None

    def wake(self, now_ms: int) -> None:
        """Move entries whose not-before time has come into their flows."""
        later = list(self._later.values())
        due = [entry for entry in later if not self._too_early(entry, now_ms)]
        for entry in due:
            self.ready(entry, now_ms)

    def _too_early(self, entry: ReadyEntry, now_ms: int) -> bool:
        return entry.not_before_ms > now_ms + self._ahead_ms

    def best(self, model: str, cls: str | None = None) -> ReadyEntry | None:
        """Return the first entry that `model` may answer, of one class or of any."""
        heads = (
            (queue.rank_of(head), head)
            for (models, flow_cls), queue in self._flows.items()
            if model in models
            and cls in (None, flow_cls)
            and (head := queue.best()) is not None
        )
        best = min(heads, default=None)
        return self._entries[best[1]] if best else None

    def has_ready(self) -> bool:
        """Return whether anything could start now, if there were room."""
        return bool(self._entries)

    def waits(self, model: str, cls: str) -> bool:
        """Return whether `model` could start a request of this class now."""
        return self.best(model, cls) is not None

    def slots(self) -> Iterator[Slot]:
        """Yield every slot in use."""
        return (taken.slot for taken in self._taken.values())

    def slots_in_use(self) -> int:
        """Return how many slots are in use over all models."""
        return len(self._taken)
