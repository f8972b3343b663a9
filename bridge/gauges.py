"""The bridge's state as gauges and as health, once a second; it changes nothing.

It runs in the loop's thread, because only there the state holds still. What it costs
depends on the admitted requests and the partitions, not on the length of the index.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from time import monotonic

from agentsched.scheduling.order import CLASSES
from agentsched.scheduling.unserved import unserved
from agentsched.telemetry import events, metrics
from agentsched.telemetry.health import Check, Indicator, RedisIndicator
from agentsched.telemetry.logs import say
from agentsched.telemetry.meters import Meters
from agentsched.telemetry.metrics import Metric
from agentsched.wire.records import Partition
from bridge.core.report import first_waiting, waiting_of
from bridge.core.state import BridgeState, PartitionIndex, Stage

EVERY_S = 1.0
GOOD_FOR_S = 5.0
"""How long "ok" counts without another report: the loop reports every second."""
KAFKA_THREAD_S = 90.0
"""As for the thread that polls Kafka: in one turn it may wait 30 s for the loop's answer
to a revocation, and 30 s for Kafka's to a look-up."""
STAGES = {
    Stage.WAITING: "waiting",
    Stage.ADMITTING: "ready",
    Stage.READY: "ready",
    Stage.LEAVING: "ready",
    Stage.IN_FLIGHT: "in_flight",
}

Values = dict[tuple[str, ...], float]
"""Label values -> value."""


class BridgeMeter:
    """Measures one bridge; its methods are for the loop's thread.

    Args:
        meters: what is set; by default nobody sees the numbers.
        bridge_id: names the bridge in log events.
        ends: partition -> the offset of the next record, as it was seen last.
        now_s: the clock.
        stuck_s: a loop that is silent for longer is stuck.
    """

    def __init__(
        self,
        meters: Meters | None = None,
        bridge_id: str = "",
        ends: Callable[[], Mapping[Partition, int]] = dict,
        now_s: Callable[[], float] = monotonic,
        stuck_s: float = 60.0,
    ) -> None:
        self._meters = meters or Meters("bridge")
        self._bridge_id = bridge_id
        self._ends = ends
        self._now_s = now_s
        self._turn_began = now_s()
        self._measured_at = -EVERY_S
        self._rules: object = None
        self._led = False
        self.loop = Indicator("loop", stuck_s, now_s, ok=True)
        self.redis = RedisIndicator(GOOD_FOR_S, now_s)
        """Of the steps of the ledger."""
        self._group = Indicator("consumer group", GOOD_FOR_S, now_s)
        self._index = Indicator("index", GOOD_FOR_S, now_s)
        self.change_log = Indicator("change log", GOOD_FOR_S, now_s)
        """Of the thread that follows it; its reports come from there."""
        self.kafka_thread = Indicator("Kafka thread", KAFKA_THREAD_S, now_s, ok=True)
        """Of the thread that polls; its reports come from there, once it has begun."""
        self.owned: tuple[Partition, ...] = ()
        """The partitions of this bridge, for other threads to read."""

    def checks(self) -> dict[str, Callable[[], Check]]:
        """Return what readiness needs of this bridge's own state."""
        return {
            "redis": self.redis.check,
            "group": self._group.check,
            "index": self._index.check,
            "change log": self.change_log.check,
            "Kafka thread": self.kafka_thread.check,
        }

    # -- called by the loop ---------------------------------------------------------------

    def turn_begins(self) -> None:
        """The loop turns."""
        self.loop.report()
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
            self._report_health(state, joined=joined)

    # -- within -------------------------------------------------------------------------

    def _lead_changed(self, *, leading: bool) -> None:
        self._led = leading
        self._meters.set(metrics.LEADS, leading)
        self._meters.count(metrics.LEADER_CHANGES)
        say(
            events.LEADER_GAINED if leading else events.LEADER_LOST,
            bridge_id=self._bridge_id,
        )

    def _report_health(self, state: BridgeState, *, joined: bool) -> None:
        self._group.report(
            ok=joined, detail="not (yet) a member of its group: see kafka.group_id"
        )
        missing = sum(p.view is None for p in state.partitions.values())
        self._index.report(
            ok=not missing,
            detail=f"the ledger has not yet answered for {missing} partition(s)",
        )

    def _measure(self, state: BridgeState) -> None:
        settings, partitions = state.rules.settings, state.partitions.values()
        models = [model.name for model in settings.models]
        if state.rules is not self._rules:
            self._rules = state.rules
            self._meters.initialize(models, settings.kafka.input_topics)
        self.owned = tuple(each.partition for each in partitions)
        one_value: dict[Metric, float] = {
            metrics.LIVE_BRIDGES: state.bridges,
            metrics.INDEX_RECORDS: sum(len(p.entries) for p in partitions),
            metrics.INDEX_BYTES: sum(p.size_bytes for p in partitions),
            metrics.READY_BYTES: state.held_bytes,
            metrics.PARTITIONS_OWNED: len(partitions),
            metrics.PARTITIONS_PAUSED: sum(p.paused for p in partitions),
        }
        for metric, value in one_value.items():
            self._meters.set(metric, value)
        by_labels: dict[Metric, Values] = {
            metrics.REQUESTS: _requests(state),
            metrics.REQUESTS_WITHOUT_WORKER: {}
            if self.redis.is_unreachable
            else _without_worker(state, models),
            metrics.SLOTS_IN_USE: _slots_in_use(state, models),
            metrics.CAPACITY_SLOTS: {(m.name,): m.capacity for m in settings.models},
            metrics.LIVE_SLOTS: {(m,): slots for m, slots in state.live_slots.items()},
            **self._of_partitions(state),
        }
        for metric, values in by_labels.items():
            self._meters.replace(metric, values)

    def _of_partitions(self, state: BridgeState) -> dict[Metric, Values]:
        ends, lag, unread, oldest = self._ends(), Values(), Values(), Values()
        for each in state.partitions.values():
            labels = (each.partition.topic, str(each.partition.partition))
            tracker = each.tracker
            end = max(ends.get(each.partition, 0), each.end, tracker.next_offset)
            lag[labels] = end - tracker.watermark
            unread[labels] = end - tracker.next_offset
            oldest[labels] = _oldest_s(each, state.now_ms)
        return {
            metrics.PARTITION_LAG_RECORDS: lag,
            metrics.PARTITION_UNREAD_RECORDS: unread,
            metrics.PARTITION_OLDEST_SECONDS: oldest,
        }


def model_of(models: tuple[str, ...]) -> str:
    """Return the label for the models that may answer."""
    match models:
        case ():
            return metrics.NO_MODEL
        case (model,):
            return model
    return metrics.ANY_MODEL


def _requests(state: BridgeState) -> Values:
    """Count them; what is 0 is shown as 0, once it was there."""
    groups = {*state.waiting, *state.admitted, *state.doubted}
    labels = product({*STAGES.values()}, map(model_of, groups), CLASSES)
    counts: Values = dict.fromkeys(labels, 0)
    for waiting in (state.waiting, state.doubted):
        for models, classes in waiting.items():
            for cls, entries in classes.items():
                counts["waiting", model_of(models), cls] += len(entries)
    for models, classes in state.admitted.items():
        for cls, admitted in classes.items():
            for entry in admitted:
                counts[STAGES[entry.stage], model_of(models), cls] += 1
    return counts


def _without_worker(state: BridgeState, models: Sequence[str]) -> Values:
    """Count them; as long as orders are not known, nothing starts of which to say it."""
    groups = {*state.waiting, *state.admitted, *state.doubted}
    waiting = {
        group: sum(waiting_of(state, group, cls) for cls in CLASSES) for group in groups
    }
    starts = state.controls.starts if state.controls else lambda _: False
    counts = unserved(waiting, state.live_slots, starts)
    return {(model,): counts.get(model, 0) for model in models}


def _slots_in_use(state: BridgeState, models: Sequence[str]) -> Values:
    """Return them as the dispatcher sees them; others have no picture of them."""
    if not state.leading:
        return {}
    counts: Values = dict.fromkeys(product(models, CLASSES), 0)
    slots = state.lead.board.slots()
    return {**counts, **Counter((slot.model, slot.cls) for slot in slots)}


def _oldest_s(partition: PartitionIndex, now_ms: int) -> float:
    """Return the age of what waits for longest."""
    head = first_waiting(partition)
    return max(0.0, (now_ms - head.place[1]) / 1000) if head else 0.0
