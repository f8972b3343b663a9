"""The one loop: take what has come, ask the core, do what it says.

Threads hand over into one inbox (records, changes, acknowledgements), and the loop sleeps
on it until the next tick: nothing waits for a poll.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue

from agentsched.errors import (
    ConfigurationError,
    EpochChanged,
    LedgerError,
    LedgerUnavailable,
)
from agentsched.kafka.group.assignment import AssignedPartition
from agentsched.telemetry import events
from agentsched.telemetry.logs import say
from agentsched.wire.epoch import EpochCounter
from agentsched.wire.records import InboundRecord, Mark, Partition
from agentsched.wire.source_record import source_name
from bridge.change_log import ChangeReader
from bridge.core import events as ev
from bridge.core.commands import BeatEpoch, Command, MeetPeers
from bridge.core.commit import last_mark
from bridge.core.rules import Rules
from bridge.core.state import BridgeState
from bridge.core.step import has_more, step
from bridge.effects import Effects, Later, wake
from bridge.kafka_thread import KafkaThread
from bridge.observer import BridgeObserver

TICK_MS = 50
TICK_WITHIN_MS = 500
"""As a tick, between the commands that one event led to."""
TURN_MS = 20
"""How long the loop works on what has come, before it decides what starts."""
START_RETRY_S = 1.0
RELOAD_RETRY_MS = 1_000
REVOKE_FLUSH_S = 2.0
REVOKE_WORK_MS = 2_000
LEAVE_MS = 60_000
"""How long the group is left; then the process ends all the same."""


VITAL = (BeatEpoch, MeetPeers)

logger = logging.getLogger("agentsched.bridge")


class Daemon:
    """One bridge.

    Args:
        rules: the configuration in force.
        effects: does the commands.
        make_source: builds the thread that polls Kafka from this daemon's callbacks.
        reader: follows the change log; it hands over into `inbox`.
        now_ms: the clock.
        known_pulse: reads the highest pulse that the group has committed; may block.
        inbox: what every other thread puts its later work into.
        observer: is told of every turn and event.
    """

    def __init__(  # noqa: PLR0913  (the seams of the one loop)
        self,
        rules: Rules,
        effects: Effects,
        make_source: Callable[["Daemon"], KafkaThread],
        reader: ChangeReader,
        now_ms: Callable[[], int],
        known_pulse: Callable[[], EpochCounter],
        inbox: SimpleQueue[Later],
        observer: BridgeObserver | None = None,
    ) -> None:
        self._rules = rules
        self._effects = effects
        self._source = make_source(self)
        self._reader = reader
        self._now_ms = now_ms
        self._inbox = inbox
        self._known_pulse = known_pulse
        self._observer = observer or BridgeObserver()
        self._stopping = self._closing = False
        self._reload: Callable[[Rules], Rules] | None = None
        self._reload_from_ms = 0
        self._state = BridgeState(rules, epoch="")
        self._sources: dict[Partition, str] = {}
        self._events: deque[ev.Event] = deque()
        self._ticked_ms = 0

    def stop(self) -> None:
        """Ask the loop to drain and end; may be called from a signal handler."""
        self._stopping = True
        self._inbox.put(wake)

    def reload(self, load: Callable[[Rules], Rules]) -> None:
        """Ask the loop to use another configuration; safe in a signal handler.

        Args:
            load: makes the new rules of those in force; raises ConfigurationError.
        """
        self._reload_from_ms = 0
        self._reload = load
        self._inbox.put(wake)

    def run(self) -> None:
        """Run until `stop`, then drain; blocks.

        Raises:
            NewerFormat: a newer version uses the ledger; all is closed.
            KafkaFailed: Kafka's client failed for good; all is closed.
        """
        self._effects.attach(self._source)
        try:
            if self._open():
                self._serve()
        finally:
            self._close()
        if self._effects.refused:
            raise self._effects.refused

    def _serve(self) -> None:
        topics = self._rules.settings.kafka.input_topics
        self._source.subscribe(topics)
        bridge_id = self._effects.bridge_id
        say(events.BRIDGE_STARTED, bridge_id=bridge_id, topics=topics)
        while not (self._stopping or self._effects.refused):
            self._turn()
        self._drain()

    # -- what the Kafka thread has handed over, in the loop's thread --------------

    def on_assigned(self, assigned: Sequence[AssignedPartition]) -> None:
        """Begin with partitions."""
        for one in assigned:
            topic, partition = one.partition
            source = source_name(topic, one.topic_id, partition)
            self._sources[one.partition] = source
            self._feed(
                ev.Assigned(
                    one.partition,
                    source,
                    one.start,
                    one.end,
                    one.committed,
                    one.inherited_state,
                )
            )

    def on_read(self, records: Sequence[InboundRecord]) -> None:
        """Take records."""
        self._feed(ev.Read(tuple(records), self._now_ms()))

    def on_revoked(self, revoked: Sequence[Partition]) -> Mapping[Partition, Mark]:
        """Give partitions up; returns what to commit.

        Dead letters that are under way are waited for, else the next owner would send
        them once more.
        """
        self._flush(REVOKE_FLUSH_S)
        # All that is known counts, and no commit may follow the last one.
        self._work(self._now_ms() + REVOKE_WORK_MS)
        marks: dict[Partition, Mark] = {}
        for partition in revoked:
            mark = last_mark(self._state, self._sources.get(partition, ""))
            if mark is not None:
                marks[partition] = mark
        self.on_lost(revoked)
        return marks

    def on_lost(self, lost: Sequence[Partition]) -> None:
        """Forget partitions that another bridge has already."""
        for partition in lost:
            source = self._sources.pop(partition, None)
            if source is not None:
                self._feed(ev.Revoked(source))

    def on_committed(self, offsets: Mapping[Partition, int]) -> None:
        """Note acknowledged commits."""
        for partition, offset in offsets.items():
            self._feed(ev.Committed(partition, offset))

    def on_commit_refused(self, partition: Partition) -> None:
        """Say less beside the offsets: this broker takes no such long metadata."""
        self._feed(ev.CommitRefused(partition))

    def on_deleted(self, partition: Partition, start: int) -> None:
        """Note that records were deleted unread; reading goes on at `start`."""
        self._feed(ev.RecordsDeleted(partition, start))

    # -- the loop -----------------------------------------------------------------

    def _open(self) -> bool:
        """Wait for Redis; False when asked to stop meanwhile."""
        while not self._stopping:
            try:
                if opened := self._effects.open(self._known_pulse()):
                    self._state, _ = step(self._state, opened)
                cursor = self._effects.log_position()
            except (LedgerUnavailable, EpochChanged) as error:
                self._observer.meter.turn_begins()
                self._observer.meter.kafka_thread.report()  # it has not begun
                self._observer.meter.redis.failed("open_ledger", error)
                self._rest(START_RETRY_S)
                continue
            self._reader.start(self._state.epoch, cursor)
            return True
        return False

    def _turn(self) -> None:
        """Take what has come, then decide: never so long that a heartbeat is late."""
        if not (self._events or has_more(self._state)):
            self._rest((self._ticked_ms + TICK_MS - self._now_ms()) / 1000)
        self._observer.meter.turn_begins()
        if self._reload is not None and self._now_ms() >= self._reload_from_ms:
            load, self._reload = self._reload, None
            self._adopt(load)
        self._tick()
        self._take_waiting(self._now_ms() + TURN_MS)
        self._handle(ev.Round(self._now_ms()))
        self._effects.note()
        self._observer.meter.turn_ended(self._state, joined=self._source.joined)

    def _rest(self, timeout_s: float) -> None:
        """Sleep until something comes, and take that."""
        try:
            later = self._inbox.get(timeout=max(0.0, timeout_s))
        except Empty:
            return
        try:
            self._events.extend(later())
        except Exception as error:
            if not self._closing:
                raise
            _log(error)  # a revocation that comes after it has to be answered still

    def _tick(self) -> None:
        now_ms = self._now_ms()
        if now_ms - self._ticked_ms >= TICK_MS:
            self._handle(ev.Tick(now_ms))  # before all that waits
            self._ticked_ms = self._now_ms()  # between two, something else is done

    def _feed(self, event: ev.Event) -> None:
        """Give the core an event, do what it says, give it the answers.

        What takes longer than a turn goes on in the next one.
        """
        self._events.append(event)
        self._work(self._now_ms() + TURN_MS)

    def _work(self, until_ms: int) -> None:
        while self._events and self._now_ms() <= until_ms:
            self._handle(self._events.popleft())
            self._tick()

    def _handle(self, event: ev.Event) -> None:
        """Take an event, do what the core says, and give it each answer at once.

        No answer waits: under load that may be seconds, and in a picture that old what
        is done is started again, and again. What was decided in another epoch is undone.
        """
        decided = deque(self._step(event))
        while decided:
            epoch, command = decided.popleft()
            for answer in self._effects.run(command, epoch):
                decided.extend(self._step(answer))
            if self._now_ms() - self._ticked_ms >= TICK_WITHIN_MS:
                self._tick_within(decided)

    def _tick_within(self, decided: deque[tuple[str, Command]]) -> None:
        """Tick between thousands of commands: else the dispatcher's lease ends meanwhile.

        Only what keeps this bridge alive for the others goes before what was decided.
        """
        self._ticked_ms = self._now_ms()
        vital: list[tuple[str, Command]] = []
        for each in self._step(ev.Tick(self._ticked_ms)):
            (vital if isinstance(each[1], VITAL) else decided).append(each)
        decided.extendleft(reversed(vital))

    def _step(self, event: ev.Event) -> list[tuple[str, Command]]:
        if isinstance(event, ev.EpochOpened):
            self._reader.switch(event.epoch)
        self._observer.saw(event, self._state)
        self._state, commands = step(self._state, event)
        self._reader.detailed = self._state.leading
        return [(self._state.epoch, command) for command in commands]

    def _take_waiting(self, until_ms: int) -> None:
        """Work off what has come until now; what comes meanwhile waits.

        The inbox is left alone while something of it is not worked off: what waits there
        is bounded by those who hand it over.
        """
        waiting = self._inbox.qsize()
        self._work(until_ms)
        while waiting and not self._events:
            waiting -= 1
            self._rest(0.0)
            self._work(until_ms)

    def _adopt(self, load: Callable[[Rules], Rules]) -> None:
        try:
            rules = load(self._rules)
        except ConfigurationError as error:
            say(events.CONFIGURATION_KEPT, detail=str(error))
            return
        try:
            self._effects.adopt(rules)
        except LedgerError as error:
            say(events.CONFIGURATION_KEPT, detail=f"{error}; tried again")
            self._reload_from_ms = self._now_ms() + RELOAD_RETRY_MS
            self._reload = self._reload or (lambda _: rules)
            return
        self._rules = rules
        self._feed(ev.RulesChanged(rules))
        say(events.CONFIGURATION_RELOADED, models=self._models())

    def _drain(self) -> None:
        """Admit and reserve nothing more; wait for what is in flight, within drain_s."""
        self._feed(ev.DrainStarted())
        until_ms = self._now_ms() + int(self._rules.settings.timing.drain_s * 1000)
        say(events.BRIDGE_DRAINING, in_flight=self._state.in_flight)
        self._source.pause(tuple(self._sources))
        while self._state.in_flight and self._now_ms() < until_ms:
            if self._effects.refused:
                break  # nothing of it can be done here
            self._turn()

    def _close(self) -> None:
        """Leave: stop following, flush, commit and leave the group, give up the lease.

        Whatever fails, the rest of it is done.
        """
        self._closing = True
        try:
            self._reader.stop()
            self._flush(self._rules.settings.timing.delivery_timeout_s)
        finally:
            try:
                self._leave()
            finally:
                self._effects.close()
                say(events.BRIDGE_STOPPED)

    def _leave(self) -> None:
        """Leave the group: what is revoked is asked here, and the last marks committed."""
        self._source.close()
        until_ms = self._now_ms() + LEAVE_MS
        while not self._source.closed and self._now_ms() < until_ms:
            self._rest(TICK_MS / 1000)
            try:
                self._work(self._now_ms() + TURN_MS)
            except Exception as error:  # noqa: BLE001  (as in `_rest`)
                _log(error)

    def _flush(self, timeout_s: float) -> None:
        """Wait for records under way, up to `timeout_s` twice, and take what follows.

        What follows the record of a conflict is a record again: its dead letter.
        """
        for _ in range(2):
            self._effects.flush(timeout_s)
            for _ in range(self._inbox.qsize()):
                self._rest(0.0)
            self._work(self._now_ms() + TURN_MS)
            self._effects.note()

    def _models(self) -> list[str]:
        return [model.name for model in self._rules.settings.models]


def _log(error: Exception) -> None:
    # Without its text, which may hold what requests say.
    logger.error("the bridge ends all the same after %s", type(error).__name__)
