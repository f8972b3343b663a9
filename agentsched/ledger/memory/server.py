"""The data of the ledger in memory, as a Redis would hold it: one lock, one clock.

The parts of the ledger in memory share it and keep nothing themselves, so that it can be
lost, or put back to an earlier state, as a whole.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from threading import Condition

from agentsched.errors import EpochChanged
from agentsched.ledger.bridge_reports import Question
from agentsched.ledger.memory.answered_offsets import Offsets
from agentsched.ledger.memory.book import Book
from agentsched.ledger.memory.voided_leases import MemoryVoidedLeases
from agentsched.ledger.operator_orders import Control, ControlKind
from agentsched.ledger.values import Change, ChangeKind
from agentsched.wire.epoch import NO_EPOCH, EpochCounter


@dataclass(slots=True)
class Data:
    """All that is lost with the server."""

    book: Book
    offsets: Offsets = field(default_factory=Offsets)
    pulse: EpochCounter = NO_EPOCH
    born_ms: int = 0
    fresh: bool = True
    dispatcher: tuple[str, int] = ("", 0)
    """Whose lease, and until when."""
    bridges: dict[str, int] = field(default_factory=dict)
    """Until when each counts as alive."""
    workers: dict[str, tuple[int, dict[str, int], str]] = field(default_factory=dict)
    """The same, with slots and HTTP address."""
    parked: dict[str, int] = field(default_factory=dict)
    """Slots that wait for a doorbell, by worker."""
    revision: int = 0
    """Of limits and controls."""
    controls: dict[tuple[ControlKind, str], Control] = field(default_factory=dict)
    reports: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    questions: dict[str, tuple[int, Question]] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    """By question: until when they are kept, and the text of each bridge."""


class MemoryServer:
    """One server in this process; safe for threads that hold `lock`.

    Args:
        clock_ms: the time in milliseconds; it never goes back.
    """

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self.clock_ms = clock_ms
        self.lock = Condition()
        """Notified when the change log grows."""
        self.voided = MemoryVoidedLeases()
        self.epochs_begun = 0
        """Outlives the data: epochs that begin after a rollback are new ones."""
        self.data = Data(Book(clock_ms))

    def lose(self) -> None:
        """Forget everything, as an emptied Redis does."""
        with self.lock:
            self.data = Data(Book(self.clock_ms))

    def save(self) -> Data:
        """Return a copy of all data, for `rollback`."""
        with self.lock:
            return self._copy(self.data)

    def rollback(self, to: Data) -> None:
        """Know what was known at a `save` again: a replica of then was promoted."""
        with self.lock:
            self.data = self._copy(to)

    def _copy(self, data: Data) -> Data:
        return deepcopy(data, {id(self.clock_ms): self.clock_ms})

    @contextmanager
    def step(self, epoch: str) -> Iterator[Book]:
        """Hold the lock for one step; who waits for changes is woken after it.

        Raises:
            EpochChanged: the epoch is another one.
        """
        with self.lock:
            self.insist_on(epoch)
            yield self.data.book
            self.lock.notify_all()

    def insist_on(self, epoch: str) -> None:
        """Refuse another epoch; called with the lock.

        Raises:
            EpochChanged: the epoch is another one.
        """
        if epoch != self.data.pulse.epoch:
            raise EpochChanged("the ledger has no epoch or another: open it again")

    def leads(self, dispatcher_id: str) -> bool:
        """Return whether a dispatcher's lease is current; called with the lock."""
        holder, ends_ms = self.data.dispatcher
        return holder == dispatcher_id and ends_ms > self.clock_ms()

    def is_live(self, worker_id: str) -> bool:
        """Return whether a worker's heartbeat counts still; called with the lock."""
        beat = self.data.workers.get(worker_id)
        return beat is not None and beat[0] > self.clock_ms()

    def park(self, worker_id: str, slots: int) -> None:
        """Note how many slots of a worker wait for a doorbell; called with the lock."""
        self.data.parked.pop(worker_id, None)
        if slots > 0:
            self.data.parked[worker_id] = slots

    def retire_worker(self, worker_id: str) -> None:
        """Count a worker as gone; its last turn is remembered; called with the lock."""
        self.data.parked.pop(worker_id, None)
        if worker_id in self.data.workers:
            ends_ms = min(self.data.workers[worker_id][0], self.clock_ms())
            self.data.workers[worker_id] = (ends_ms, {}, "")

    def forget_worker(self, worker_id: str) -> None:
        """Drop all that is kept while a worker lives; called with the lock."""
        self.data.workers.pop(worker_id, None)
        self.data.parked.pop(worker_id, None)
        self.data.book.lists.turns.pop(worker_id, None)

    def raise_revision(self) -> None:
        """Void all lists: limits or controls have changed; called with the lock."""
        self.data.revision += 1
        self.emit_orders()

    def emit_orders(self) -> None:
        """Wake who follows the change log: orders have changed; called with the lock."""
        self.data.book.changes.emit(Change(ChangeKind.ORDERS))
        self.lock.notify_all()
