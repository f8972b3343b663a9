"""What the ledger in memory knows of one epoch: entries, slots; no step.

Nothing here locks; `memory.py` does.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agentsched.ledger.memory.change_log import ChangeLog
from agentsched.ledger.memory.lists import Lists
from agentsched.ledger.values import (
    Change,
    ChangeKind,
    Ending,
    Limits,
    ReadyEntry,
    Slot,
    State,
)
from agentsched.wire.records import RecordAt
from agentsched.wire.request_facts import RequestFacts


@dataclass(slots=True)
class Entry:
    """One request; an ANSWERED one is a tombstone (no payload, no reply)."""

    facts: RequestFacts
    payload: bytes
    payload_hash: str
    since_ms: int
    state: State = State.READY
    offsets: list[tuple[str, int]] = field(default_factory=list)
    """(source, offset) of every record that the one reply answers."""
    turn: int = 0
    """How often it was taken."""
    not_before_ms: int = 0
    starts: int = 0
    crashes: int = 0
    model: str = ""
    endpoint: str = ""
    lease_id: str | None = None
    lease_end_ms: int = 0
    put_back_by: str | None = None
    ending: Ending | None = None
    crashes_alone: int = 0
    reply: bytes = b""
    winner: tuple[str, str] | None = None
    reply_at: RecordAt | None = None


@dataclass(slots=True)
class Held:
    """A slot in use: until its holder lets go, or until `ends_ms`."""

    slot: Slot
    lease_id: str | None
    ends_ms: int


@dataclass(slots=True)
class Sums:
    """Totals of a model."""

    calls: int = 0
    failed: int = 0
    model_ms: int = 0


class Book:
    """All entries of one epoch, and the moves that more than one step makes."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self.clock_ms = clock_ms
        self.limits = Limits(capacity={})
        self.held: dict[str, Held] = {}
        self.live: dict[tuple[str, int], str] = {}
        self.sums: dict[str, Sums] = {}
        self.lists = Lists()
        self.changes = ChangeLog(clock_ms)
        self._entries: dict[str, Entry] = {}
        self._cancelled_until_ms: dict[str, int] = {}

    # -- entries ------------------------------------------------------------------

    def find(self, key: str) -> Entry | None:
        """Return the entry, unless its tombstone's time is over."""
        entry = self._entries.get(key)
        if entry is None or entry.state is not State.ANSWERED:
            return entry
        if self.clock_ms() < entry.since_ms + self.limits.horizon_s * 1000:
            return entry
        del self._entries[key]
        return None

    def enter(self, entry: Entry) -> None:
        """Take a new entry in, in the state that it has."""
        self._entries[entry.facts.key] = entry
        self.attach(entry, entry.facts.source, entry.facts.offset)

    def add(self, entry: Entry) -> None:
        """Take a new entry into the ready set."""
        self.enter(entry)
        self.to_ready(entry)

    def attach(self, entry: Entry, source: str, offset: int) -> None:
        """Let the entry's reply answer one offset more."""
        entry.offsets.append((source, offset))
        self.live[source, offset] = entry.facts.key

    def forget(self, entry: Entry) -> None:
        """Drop an entry and its identity."""
        for at in entry.offsets:
            self.live.pop(at, None)
        del self._entries[entry.facts.key]

    def live_at(self, source: str, runs: Iterable[range]) -> list[str]:
        """Return the keys of a partition's unanswered entries at offsets, in order."""
        return [
            key
            for (at, offset), key in sorted(self.live.items())
            if at == source and any(offset in run for run in runs)
        ]

    def ready(self) -> list[ReadyEntry]:
        """Return what is READY, in the order of admission."""
        return [
            _ready_entry(entry)
            for entry in self._entries.values()
            if entry.state is State.READY and entry.ending is None
        ]

    def ready_count(self) -> int:
        """Return how many entries the ready set's bound counts."""
        return sum(
            entry.state is State.READY and entry.ending is None
            for entry in self._entries.values()
        )

    def move(self, entry: Entry, state: State) -> None:
        """Note a new state; its age starts anew."""
        entry.state = state
        entry.since_ms = self.clock_ms()

    def to_ready(self, entry: Entry, not_before_ms: int = 0) -> None:
        """Move an entry to READY; its slot is free."""
        self.free_slot(entry.facts.key)
        self.move(entry, State.READY)
        entry.lease_id, entry.model, entry.endpoint = None, "", ""
        entry.not_before_ms = not_before_ms
        if entry.ending:  # its bridge answers it; the dispatcher does not see it
            self.changes.emit(Change(ChangeKind.ENDING, key=entry.facts.key))
            return
        ready = _ready_entry(entry)
        self.changes.emit(Change(ChangeKind.READY, key=entry.facts.key, ready=ready))

    def keep_cancel(self, key: str, keep_s: int) -> None:
        """Remember that an unknown request is cancelled."""
        now_ms, kept = self.clock_ms(), self._cancelled_until_ms
        self._cancelled_until_ms = {k: at for k, at in kept.items() if at > now_ms}
        self._cancelled_until_ms[key] = now_ms + keep_s * 1000

    def is_cancelled(self, key: str) -> bool:
        """Return whether an unknown request is cancelled."""
        return self._cancelled_until_ms.get(key, 0) > self.clock_ms()

    def drop_cancel(self, key: str) -> None:
        """Forget it: the request is answered."""
        self._cancelled_until_ms.pop(key, None)

    def mark_ending(self, entry: Entry, why: Ending) -> None:
        """Have an unanswered request end without a call."""
        key = entry.facts.key
        if entry.state is State.READY and entry.ending is None:
            self.changes.emit(Change(ChangeKind.LEFT, key=key))
        entry.ending = entry.ending or why
        self.changes.emit(Change(ChangeKind.ENDING, key=key))

    # -- slots --------------------------------------------------------------------

    def slots(self) -> list[Slot]:
        """Return the slots in use: one whose lease is over is free."""
        now_ms = self.clock_ms()
        return [held.slot for held in self.held.values() if held.ends_ms > now_ms]

    def slots_over(self, model: str, endpoint: str) -> int:
        """Return how far the slots in use are beyond the limits (< 0: room)."""
        slots = self.slots()
        mine = sum((slot.model, slot.endpoint) == (model, endpoint) for slot in slots)
        over = mine - self.limits.capacity.get((model, endpoint), 0)
        if self.limits.max_in_flight > 0:
            over = max(over, len(slots) - self.limits.max_in_flight)
        return over

    def take_slot(self, entry: Entry) -> None:
        """Put a slot in use for an entry that has a lease."""
        facts = entry.facts
        slot = Slot(facts.key, entry.model, entry.endpoint, facts.cls)
        self.held[facts.key] = Held(slot, entry.lease_id, entry.lease_end_ms)
        self.changes.emit(Change(ChangeKind.TAKEN, key=facts.key, slot=slot))

    def free_slot(self, key: str) -> None:
        """Free a slot, if there is one."""
        held = self.held.pop(key, None)
        if held:
            self.changes.emit(Change(ChangeKind.FREED, key=key, slot=held.slot))

    def sweep(self) -> None:
        """Drop what is left of slots whose lease is over."""
        now_ms = self.clock_ms()
        for key, held in list(self.held.items()):
            if held.ends_ms <= now_ms:
                self.free_slot(key)

    def slot_held_by(self, key: str, lease_id: str | None) -> Slot | None:
        """Return the slot that this lease still holds, voided or not."""
        held = self.held.get(key)
        ours = held and lease_id is not None and held.lease_id == lease_id
        return held.slot if held and ours else None


def _ready_entry(entry: Entry) -> ReadyEntry:
    return ReadyEntry(
        entry.facts,
        entry.not_before_ms,
        turn=entry.turn,
        payload_hash=entry.payload_hash,
        crashes=entry.crashes,
    )
