"""The bridge's state as gauges and as health, once a second; it changes nothing.

It runs in the loop's thread, because only there the state holds still. What it costs
depends on the admitted requests and the partitions, not on the length of the index.
"""

from collections.abc import Callable, Mapping
from itertools import product
from time import monotonic

from agentsched.errors import LedgerError, NewerFormat
from agentsched.scheduling.order import CLASSES
from agentsched.telemetry import events as log
from agentsched.telemetry import metrics
from agentsched.telemetry.health import Check, Pulse, Signal
from agentsched.telemetry.logs import say
from agentsched.telemetry.meters import Meters
from agentsched.wire.records import Partition
from bridge.core.state import WAITS, BridgeState, PartitionIndex, Stage

EVERY_S = 1.0
TOLD_FOR_S = 5.0
"""How long "ok" counts without being told again: the loop tells every second."""
STAGES = {
    Stage.WAITING: "waiting",
    Stage.ADMITTING: "ready",
    Stage.READY: "ready",
    Stage.LEAVING: "ready",
    Stage.IN_FLIGHT: "in_flight",
}

ANY, NONE = "any", "none"

Values = dict[tuple[str, ...], float]
"""Label values -> value."""


class BridgeMeter:
    """Measures one bridge; its methods are for the loop's thread.

    Args:
        meters: what is set; by default nobody sees the numbers.
        bridge_id: names the bridge in log events.
        ends: partition -> the offset of the next record, as it was seen last.
        now_s: the clock.
    """

    def __init__(
        self,
        meters: Meters | None = None,
        bridge_id: str = "",
        ends: Callable[[], Mapping[Partition, int]] = dict,
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._meters = meters or Meters("bridge")
        self._bridge_id = bridge_id
        self._ends = ends
        self._now_s = now_s
        self._turn_began = now_s()
        self._measured_at = -EVERY_S
        self._led = False
        self._unreachable = False
        self.pulse = Pulse(now_s)
        self._redis = Signal("Redis", TOLD_FOR_S, now_s)
        self._group = Signal("consumer group", TOLD_FOR_S, now_s)
        self._index = Signal("index", TOLD_FOR_S, now_s)
        self.owned: tuple[Partition, ...] = ()
        """The partitions of this bridge, for other threads to read."""

    def checks(self) -> dict[str, Callable[[], Check]]:
        """Return what readiness needs of this bridge's own state."""
        return {
            "redis": self._redis.check,
            "group": self._group.check,
            "index": self._index.check,
        }

    # -- told by the loop ---------------------------------------------------------------

    def turn_begins(self) -> None:
        """The loop turns."""
        self.pulse.turn()
        self._turn_began = self._now_s()

    def turn_ended(self, state: BridgeState, *, joined: bool) -> None:
        """A turn is over; once a second everything is measured.

        Args:
            state: as it is now.
            joined: whether this bridge is a member of its group.
        """
        now_s = self._now_s()
        self._meters.observe(metrics.LOOP_TURN_SECONDS, now_s - self._turn_began)
        if state.leading is not self._led:
            self._lead_changed(leading=state.leading)
        if now_s - self._measured_at >= EVERY_S:
            self._measured_at = now_s
            self._measure(state)
            self._tell_health(state, joined=joined)

    def redis_answered(self) -> None:
        """A step of the ledger had an answer."""
        self._redis.tell(ok=True)
        if self._unreachable:
            self._unreachable = False
            say(log.REDIS_REACHABLE)

    def redis_failed(self, step: str, error: LedgerError) -> None:
        """A step had none; the core tries again."""
        self._redis.tell(ok=False, detail=str(error))
        if not self._unreachable:
            self._unreachable = True
            say(log.REDIS_UNREACHABLE, step=step, detail=str(error))

    def too_old(self, error: NewerFormat) -> None:
        """A newer version uses the ledger: this process has to end."""
        self._redis.tell(ok=False, detail=str(error))
        say(log.PROCESS_TOO_OLD, detail=str(error))

    # -- within -------------------------------------------------------------------------

    def _lead_changed(self, *, leading: bool) -> None:
        self._led = leading
        self._meters.set(metrics.LEADS, leading)
        self._meters.count(metrics.LEADER_CHANGES)
        say(
            log.LEADER_GAINED if leading else log.LEADER_LOST,
            bridge_id=self._bridge_id,
        )

    def _tell_health(self, state: BridgeState, *, joined: bool) -> None:
        self._group.tell(
            ok=joined, detail="not (yet) a member of its group: see kafka.group_id"
        )
        missing = [p.source for p in state.partitions.values() if p.view is None]
        self._index.tell(
            ok=not missing,
            detail=f"the ledger has not yet told of {len(missing)} partition(s)",
        )

    def _measure(self, state: BridgeState) -> None:
        meters, partitions = self._meters, state.partitions.values()
        self.owned = tuple(each.partition for each in partitions)
        meters.replace(metrics.REQUESTS, _requests(state))
        meters.replace(metrics.SLOTS_IN_USE, _slots_in_use(state))
        meters.replace(metrics.CAPACITY_SLOTS, _capacity(state))
        meters.replace(
            metrics.LIVE_SLOTS, {(model,): n for model, n in state.live_slots.items()}
        )
        meters.set(metrics.LIVE_BRIDGES, state.bridges)
        meters.set(metrics.INDEX_RECORDS, sum(len(p.entries) for p in partitions))
        meters.set(metrics.INDEX_BYTES, sum(p.size_bytes for p in partitions))
        meters.set(metrics.READY_BYTES, state.admitted_bytes)
        meters.set(metrics.PARTITIONS_OWNED, len(partitions))
        meters.set(metrics.PARTITIONS_PAUSED, sum(p.paused for p in partitions))
        self._measure_partitions(state)

    def _measure_partitions(self, state: BridgeState) -> None:
        ends = self._ends()
        lag: Values = {}
        unread: Values = {}
        oldest: Values = {}
        for each in state.partitions.values():
            labels = (each.partition.topic, str(each.partition.partition))
            tracker = each.tracker
            end = max(ends.get(each.partition, 0), each.end, tracker.next_offset)
            lag[labels] = end - tracker.watermark
            unread[labels] = end - tracker.next_offset
            oldest[labels] = _oldest_s(each, state.now_ms)
        self._meters.replace(metrics.PARTITION_LAG_RECORDS, lag)
        self._meters.replace(metrics.PARTITION_UNREAD_RECORDS, unread)
        self._meters.replace(metrics.PARTITION_OLDEST_SECONDS, oldest)


def model_of(models: tuple[str, ...]) -> str:
    """Return the label for the models that may answer."""
    match models:
        case ():
            return NONE
        case (model,):
            return model
    return ANY


def _requests(state: BridgeState) -> Values:
    """Count them; what is 0 is shown as 0, once it was there."""
    known = [*state.waiting, *state.admitted, *state.doubted]
    groups = {model_of(models) for models in known}
    stages = dict.fromkeys(STAGES.values())
    counts: Values = dict.fromkeys(product(stages, groups, CLASSES), 0)
    for models, queues in state.waiting.items():
        for cls, queue in queues.items():
            counts["waiting", model_of(models), cls] += len(queue)
    for models, classes in state.doubted.items():
        for cls, entries in classes.items():
            counts["waiting", model_of(models), cls] += len(entries)
    for models, classes in state.admitted.items():
        for cls, entries in classes.items():
            for entry in entries:
                counts[STAGES[entry.stage], model_of(models), cls] += 1
    return counts


def _slots_in_use(state: BridgeState) -> Values:
    """Return them as the dispatcher sees them; others have no picture of them."""
    if not state.leading:
        return {}
    models = [model.name for model in state.rules.settings.models]
    counts: Values = dict.fromkeys(product(models, CLASSES), 0)
    for slot in state.lead.board.slots():
        counts[slot.model, slot.cls] = counts.get((slot.model, slot.cls), 0) + 1
    return counts


def _capacity(state: BridgeState) -> Values:
    models = state.rules.settings.models
    return {(model.name,): model.capacity for model in models}


def _oldest_s(partition: PartitionIndex, now_ms: int) -> float:
    """Return the age of the first entry that has not started.

    Few stand before it: what is in flight.
    """
    for entry in partition.entries.values():
        if entry.stage in WAITS:
            arrival_ms = entry.place[1]
            return max(0.0, (now_ms - arrival_ms) / 1000)
    return 0.0
