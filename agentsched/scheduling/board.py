"""The dispatcher's picture of the ready set and of the slots in use.

It follows the ledger's change log; the ledger decides when the two differ. It counts as
it goes: nothing here looks at all slots, all models or all that waits.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agentsched.ledger.turns import SUSPECT_CRASHES, Member
from agentsched.ledger.values import ReadyEntry, Slot, Snapshot
from agentsched.scheduling.order import CLASSES, Rank, RankedQueue, order_of, rank

Flow = tuple[tuple[str, ...], str]
"""(models that may answer, class): who competes with whom."""


@dataclass(slots=True)
class _Ready:
    entry: ReadyEntry
    rank: Rank
    member: Member | None = None


@dataclass(slots=True)
class _Taken:
    slot: Slot
    since_ms: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A slot that is free again."""

    slot: Slot
    took_ms: int


class Board:
    """READY entries by flow, and slots in use.

    Every change is absolute: applying one twice, or late, ends in the same picture.
    """

    def __init__(self) -> None:
        self._ready: dict[str, _Ready] = {}
        self._flows: dict[Flow, RankedQueue] = {}
        self._of_model: dict[str, dict[str, list[RankedQueue]]] = {}
        self._later: list[tuple[int, str]] = []
        self._early: dict[str, ReadyEntry] = {}
        self._ends: list[tuple[int, str]] = []
        """Deadlines, the next one first."""
        self._taken: dict[str, _Taken] = {}
        self._in_use: Counter[str] = Counter()
        self._ahead_ms = 0
        self.starts: Counter[str] = Counter()
        """Slots that were taken since somebody put an empty counter here, by model."""
        self.ends: Counter[str] = Counter()
        """Slots that were freed since then."""
        self._news: dict[Flow, Rank | None] = {}
        self._freed: dict[str, None] = {}

    # -- changes ------------------------------------------------------------------

    def reset(self, snapshot: Snapshot, now_ms: int) -> tuple[list[Ended], list[Slot]]:
        """Replace the whole picture; slots that were known keep their start.

        Not-before times are of the ledger's clock, all else of the caller's.

        Returns:
            The slots that are not in use any more, and those that were not known.
        """
        known = self._taken
        self._ahead_ms = snapshot.now_ms - now_ms
        models = list(self._of_model)
        self._ready, self._flows, self._of_model = {}, {}, {}
        self._later, self._early, self._ends = [], {}, []
        self._taken, self._in_use = {}, Counter()
        for entry in snapshot.ready:
            self.ready(entry, now_ms)
        for slot in snapshot.slots:
            before = known.get(slot.key)
            since_ms = before.since_ms if before else now_ms
            self._taken[slot.key] = _Taken(slot, since_ms)
            self._in_use[slot.model] += 1
        self._freed |= dict.fromkeys(models)
        ended = [
            Ended(taken.slot, now_ms - taken.since_ms)
            for key, taken in known.items()
            if key not in self._taken
        ]
        new = [slot for slot in snapshot.slots if slot.key not in known]
        return ended, new

    def ready(self, entry: ReadyEntry, now_ms: int) -> None:
        """Add an entry, or renew it; one that is too early waits aside."""
        key = entry.facts.key
        self.left(key)
        if self._too_early(entry, now_ms):
            self._early[key] = entry
            heapq.heappush(self._later, (entry.not_before_ms, key))
            return
        place, flow = rank(entry.facts), (entry.facts.models, entry.facts.cls)
        self._ready[key] = _Ready(entry, place)
        queue = self._flows.get(flow)
        if queue is None:
            queue = self._begin(flow)
        queue.add(place)
        heapq.heappush(self._ends, (entry.facts.deadline_ms, key))
        best = self._news.get(flow)
        self._news[flow] = place if best is None else min(best, place)

    def left(self, key: str) -> None:
        """Remove an entry from the ready set."""
        self._early.pop(key, None)
        ready = self._ready.pop(key, None)
        if ready is None:
            return
        flow = (ready.entry.facts.models, ready.entry.facts.cls)
        self._flows[flow].discard(ready.rank)
        self._news.setdefault(flow, None)

    def taken(self, slot: Slot, now_ms: int) -> bool:
        """Note a slot in use; its request is no longer READY.

        Returns:
            Whether that was not known.
        """
        self.left(slot.key)
        before = self._taken.get(slot.key)
        if before is not None and before.slot == slot:
            return False
        if before is not None:
            self._in_use[before.slot.model] -= 1
        self._taken[slot.key] = _Taken(slot, now_ms)
        self._in_use[slot.model] += 1
        self.starts[slot.model] += 1
        return True

    def freed(self, key: str, now_ms: int) -> Ended | None:
        """Free a slot; None: it was not known to be in use."""
        taken = self._taken.pop(key, None)
        if taken is None:
            return None
        self._in_use[taken.slot.model] -= 1
        self._freed[taken.slot.model] = None
        self.ends[taken.slot.model] += 1
        return Ended(taken.slot, now_ms - taken.since_ms)

    def wake(self, now_ms: int) -> None:
        """Move entries whose not-before time has come into their flows.

        What is overdue goes: the ledger lets it start no more, and who has to end it may be
        gone. Else it would keep its place in front of all others.
        """
        while self._later and self._later[0][0] <= now_ms + self._ahead_ms:
            not_before_ms, key = heapq.heappop(self._later)
            entry = self._early.get(key)
            if entry is not None and entry.not_before_ms == not_before_ms:
                self.ready(entry, now_ms)
        while self._ends and self._ends[0][0] <= now_ms + self._ahead_ms:
            deadline_ms, key = heapq.heappop(self._ends)
            ready = self._ready.get(key)
            if ready is not None and ready.entry.facts.deadline_ms == deadline_ms:
                self.left(key)

    def touch(self) -> None:
        """Count all models as changed: limits or orders are other ones."""
        self._freed |= dict.fromkeys(self._of_model)

    def take_news(self) -> dict[str, Rank | None]:
        """Return the models for which something changed since the last call.

        Returns:
            For each the best rank that was added; None: nothing was.
        """
        news: dict[str, Rank | None] = dict.fromkeys(self._freed)
        for (models, _), added in self._news.items():
            for model in models:
                best = news.get(model)
                if added is None or best is None:
                    news[model] = added or best
                else:
                    news[model] = min(added, best)
        self._news, self._freed = {}, {}
        return news

    # -- questions ------------------------------------------------------------------

    @property
    def has_news(self) -> bool:
        """Whether anything changed since `take_news`."""
        return bool(self._news or self._freed)

    def has_ready(self) -> bool:
        """Return whether anything could start now, if there were room."""
        return bool(self._ready)

    def __len__(self) -> int:
        """Return how many entries and slots are in the picture."""
        return len(self._ready) + len(self._early) + len(self._taken)

    def entry(self, key: str) -> ReadyEntry | None:
        """Return an entry that could start now."""
        ready = self._ready.get(key)
        return ready.entry if ready else None

    def knows(self, key: str) -> bool:
        """Return whether an entry or slot of this key is in the picture."""
        return key in self._ready or key in self._early or key in self._taken

    def rank_of(self, key: str) -> Rank:
        """Return the rank of an entry that could start now."""
        return self._ready[key].rank

    def may_start(self, member: Member) -> bool:
        """Return whether a member of a list is still what it was listed for."""
        ready = self._ready.get(member.key)
        return ready is not None and ready.entry.turn == member.turn

    def is_sound(self, member: Member) -> bool:
        """Return whether a member may start, and needs no child process for it."""
        ready = self._ready.get(member.key)
        if ready is None or ready.entry.turn != member.turn:
            return False
        return ready.entry.crashes < SUSPECT_CRASHES

    def is_suspect(self, key: str) -> bool:
        """Return whether an entry needs a child process of its worker to start."""
        ready = self._ready.get(key)
        return ready is not None and ready.entry.crashes >= SUSPECT_CRASHES

    def waiting(self, model: str) -> tuple[str, ...]:
        """Return the classes of which `model` could start something now."""
        queues = self._of_model.get(model)
        return tuple(cls for cls in queues if any(queues[cls])) if queues else ()

    def in_order(self, model: str, cls: str) -> Iterator[Rank]:
        """Yield what of one class `model` could start, first come first."""
        return merged(filter(None, self._of_model.get(model, {}).get(cls, ())))

    def flows(self) -> Iterable[tuple[Flow, RankedQueue]]:
        """Return the flows that have something, in no order."""
        return ((flow, queue) for flow, queue in self._flows.items() if queue)

    def models(self) -> list[str]:
        """Return the models that have or had something."""
        return list(self._of_model)

    def member(self, place: Rank, *, owed: bool = False) -> Member:
        """Return what stands in a list for an entry that could start."""
        ready = self._ready[place[4]]
        if ready.member is None or owed:
            entry, order = ready.entry, order_of(place, owed=owed)
            member = Member(place[4], entry.payload_hash, entry.turn, order)
            if owed:
                return member
            ready.member = member
        return ready.member

    def slots(self) -> Iterator[Slot]:
        """Yield every slot in use."""
        return (taken.slot for taken in self._taken.values())

    def in_use(self, model: str) -> int:
        """Return how many slots of a model are in use."""
        return self._in_use[model]

    def slots_in_use(self) -> int:
        """Return how many slots are in use over all models."""
        return len(self._taken)

    def _begin(self, flow: Flow) -> RankedQueue:
        models, cls = flow
        queue = self._flows[flow] = RankedQueue()
        for model in dict.fromkeys(models):
            classes = self._of_model.setdefault(model, {one: [] for one in CLASSES})
            classes[cls].append(queue)
        return queue

    def _too_early(self, entry: ReadyEntry, now_ms: int) -> bool:
        return entry.not_before_ms > now_ms + self._ahead_ms


def merged(queues: Iterable[RankedQueue]) -> Iterator[Rank]:
    """Yield the ranks of several queues in their order."""
    some = list(queues)
    return iter(some[0]) if len(some) == 1 else heapq.merge(*some)
