"""The thread that polls Kafka: it hands over into the loop's inbox, and decides nothing.

A consumer is used by one thread: who commits from another one may see it stand still
(measured with confluent-kafka 2.16). So commits, pauses and resumes are orders to this
thread, which does them between two polls, POLL_S later at the most.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from agentsched.kafka.group.assignment import AssignedPartition, PartitionOwner
from agentsched.telemetry.health import Indicator
from agentsched.wire.records import InboundRecord, Mark, Partition
from bridge.core import events as ev
from bridge.effects import Inbox, failing, wake
from bridge.room import Events, Room

POLL_S = 0.1
"""How long a poll waits for the first record: so late come orders at the most."""
POLL_RECORDS = 500
MOST_BYTES = 16_777_216
"""What is handed over and not taken: as much again as the client reads ahead."""
RECORD_BYTES = 1_000
"""What a record counts beside its value."""
ANSWER_S = 30.0
"""How long a revocation waits for the loop: it flushes for 4 s, works for 2 s, and may be
in a step that Redis does not answer. The whole group waits with it."""

logger = logging.getLogger("agentsched.bridge")


class RecordOwner(PartitionOwner, Protocol):
    """What is told of partitions and records, in the loop's thread."""

    def on_read(self, records: Sequence[InboundRecord]) -> None:
        """Take records, in the order of their offsets."""


class Source(Protocol):
    """The group member that is polled: `RequestSource`."""

    @property
    def joined(self) -> bool:
        """Whether the group has given it its partitions, maybe none."""

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group; raises KafkaFailed."""

    def poll(self, max_records: int, timeout_s: float) -> list[InboundRecord]:
        """Return what is there; raises KafkaFailed."""

    def commit(self, marks: Mapping[Partition, Mark]) -> None:
        """Commit, without waiting, for partitions that are owned now."""

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Read no more of these."""

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Read on."""

    def close(self) -> None:
        """Revoke all, leave the group."""


class KafkaThread:
    """Polls a source in a thread of its own.

    All methods but the callbacks of the source are for the loop's thread. What `owner` is
    told, it is told there, through the inbox, in the order in which it happened.

    Args:
        make_source: builds the source from the callbacks that it shall call.
        owner: is told.
        inbox: the loop's; called from the polling thread.
        health: is told of every turn of the thread.
        make_event: makes what this thread waits on.
        make_thread: makes the thread, which does not keep the process alive.
    """

    def __init__(  # noqa: PLR0913  (the last three have defaults)
        self,
        make_source: Callable[[PartitionOwner], Source],
        owner: RecordOwner,
        inbox: Inbox,
        health: Indicator | None = None,
        make_event: Events = threading.Event,
        make_thread: Callable[[Callable[[], None]], threading.Thread] | None = None,
    ) -> None:
        self._owner = owner
        self._inbox = inbox
        self._health = health or Indicator("Kafka thread", ANSWER_S)
        self._make_event = make_event
        self._source = make_source(self)
        self._thread = (make_thread or _daemon_thread)(self._run)
        self._started = self._leaving = False
        self._room = Room(MOST_BYTES, make_event)
        self._orders: deque[tuple[Partition, int | None, Callable[[], None]]] = deque()
        self._commits: dict[Partition, tuple[int | None, Mark]] = {}
        """The last one of each partition that was ordered, and is not done."""
        self._answered = make_event()
        self._answered.set()
        self._assignments = 0
        self._assigned: dict[Partition, int] = {}
        """Partition -> number of its assignment, as the source has told."""
        self._known: dict[Partition, int] = {}
        """The same as far as the loop has come: an order for another one is void."""
        self.closed = False
        """Whether the thread has done everything that it will ever do."""

    # -- for the loop ---------------------------------------------------------------

    @property
    def joined(self) -> bool:
        """Whether this bridge is a member of its group."""
        return self._source.joined

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group, and start the thread; call it once.

        Raises:
            KafkaFailed: a key in `kafka.properties` is wrong.
        """
        self._source.subscribe(topics)
        self._started = True
        self._thread.start()

    def commit(self, marks: Mapping[Partition, Mark]) -> None:
        """Commit for partitions that are owned; `on_committed` tells when it is done."""
        for each, mark in marks.items():
            self._commits[each] = self._known.get(each), mark

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Read no more of these; what is handed over already comes all the same."""
        for each in partitions:
            self._order(each, partial(self._source.pause, (each,)))

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Read these again."""
        for each in partitions:
            self._order(each, partial(self._source.resume, (each,)))

    def close(self) -> None:
        """Have the thread leave the group and end; does not block.

        Take what comes through the inbox until `closed`: `on_revoked` is asked there.
        """
        self._leaving = True
        if not self._started:
            self._end()

    def _order(self, partition: Partition, do: Callable[[], None]) -> None:
        self._orders.append((partition, self._known.get(partition), do))

    # -- in the polling thread ------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._leaving:
                self._health.report()
                self._do_orders()
                if self._room.wait(POLL_S):
                    self._read()
        except Exception as error:  # noqa: BLE001  (without it the bridge is deaf)
            self._inbox(failing(error))
        finally:
            self._end()

    def _end(self) -> None:
        try:
            self._source.close()
        except Exception as error:  # noqa: BLE001  (as above)
            self._inbox(failing(error))
        finally:
            self.closed = True
            self._inbox(wake)

    def _do_orders(self) -> None:
        while self._commits:
            partition, (number, mark) = self._commits.popitem()
            if number is not None and number == self._assigned.get(partition):
                self._source.commit({partition: mark})
        while self._orders:
            partition, number, do = self._orders.popleft()
            if number is not None and number == self._assigned.get(partition):
                do()

    def _read(self) -> None:
        records = tuple(self._source.poll(POLL_RECORDS, POLL_S))
        if not records:
            return
        size = sum(RECORD_BYTES + len(each.value or b"") for each in records)
        self._room.give(size)

        def take() -> None:
            self._room.take(size)
            self._owner.on_read(records)

        self._hand_over(take)

    def _hand_over(self, take: Callable[[], None]) -> None:
        """Have the loop's thread call it, after everything before it."""
        # Whoever is late with an answer takes in what else has come meanwhile: nothing of
        # Kafka may come before that answer.
        if not self._answered.wait(ANSWER_S):
            logger.warning(
                "the loop has not yet answered what to commit for partitions that were"
                " given up: it is told of nothing new, and nothing is read"
            )
            self._answered.wait()

        def later() -> list[ev.Event]:
            take()
            return []

        self._inbox(later)

    # -- called by the source, inside poll and close ---------------------------------

    def on_assigned(self, assigned: Sequence[AssignedPartition]) -> None:
        """Tell the loop; it need not answer."""
        self._assignments += 1
        number = self._assignments
        numbers = {each.partition: number for each in assigned}
        self._assigned |= numbers

        def take() -> None:
            self._known |= numbers
            self._owner.on_assigned(assigned)

        self._hand_over(take)

    def on_revoked(self, revoked: Sequence[Partition]) -> Mapping[Partition, Mark]:
        """Ask the loop what to commit; blocks for up to ANSWER_S, then it is nothing."""
        answered = self._make_event()
        marks: dict[Partition, Mark] = {}

        def take() -> None:
            try:
                _drop(self._known, revoked)
                marks.update(self._owner.on_revoked(revoked))
            finally:
                answered.set()

        self._hand_over(take)
        self._answered = answered
        in_time = answered.wait(ANSWER_S)
        _drop(self._assigned, revoked)
        if not in_time:
            logger.warning(
                "partitions are given up without a last commit, because the loop did not"
                " come to it within %.0f s: their records are read again",
                ANSWER_S,
            )
            return {}
        return marks

    def on_lost(self, lost: Sequence[Partition]) -> None:
        """Tell the loop."""
        _drop(self._assigned, lost)

        def take() -> None:
            _drop(self._known, lost)
            self._owner.on_lost(lost)

        self._hand_over(take)

    def on_committed(self, offsets: Mapping[Partition, int]) -> None:
        """Tell the loop."""
        self._hand_over(lambda: self._owner.on_committed(offsets))

    def on_commit_refused(self, partition: Partition) -> None:
        """Tell the loop."""
        self._hand_over(lambda: self._owner.on_commit_refused(partition))

    def on_deleted(self, partition: Partition, start: int) -> None:
        """Tell the loop."""
        self._hand_over(lambda: self._owner.on_deleted(partition, start))


def _drop(numbers: dict[Partition, int], partitions: Sequence[Partition]) -> None:
    for each in partitions:
        numbers.pop(each, None)


def _daemon_thread(run: Callable[[], None]) -> threading.Thread:
    return threading.Thread(target=run, name="kafka", daemon=True)
