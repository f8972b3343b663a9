"""What a bridge's state looks like as gauges and as health."""

import logging
from types import SimpleNamespace

import pytest

from agentsched.errors import LedgerUnavailable
from agentsched.ledger.operator_orders import Control, ControlKind, Controls
from agentsched.ledger.values import AdmitOutcome, Slot
from agentsched.telemetry import metrics
from agentsched.telemetry.meters import Meters
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.index_memory import RECORD_BYTES
from bridge.core.rules import Rules
from bridge.gauges import BridgeMeter
from bridge.health_page import BridgePage
from tests.support.requests import ARRIVAL_MS, settings
from tests.unit.bridge.driver import PARTITION, SOURCE, Driver


class Measured:
    """A meter on a clock that a test turns."""

    def __init__(self, **changes):
        self.now_s = 50.0
        self.ends = {}
        self.meters = Meters("bridge")
        self.meter = BridgeMeter(
            self.meters, "b1", ends=lambda: self.ends, now_s=lambda: self.now_s
        )
        self.driver = Driver(**changes)
        self.driver.now_ms = ARRIVAL_MS

    def turn(self, *, took_s=0.0, later_s=1.0, joined=True):
        self.now_s += later_s
        self.meter.turn_begins()
        self.now_s += took_s
        self.meter.turn_ended(self.driver.state, joined=joined)

    def value(self, metric, *labels, suffix=""):
        return self.meters.value(metric, *labels, suffix=suffix)

    def check(self, name):
        return self.meter.checks()[name]()


@pytest.fixture
def measured():
    return Measured()


def place_labels():
    return PARTITION.topic, str(PARTITION.partition)


def test_requests_are_shown_by_stage_model_and_class(measured):
    measured.driver.own()
    measured.driver.read(0, 1)
    measured.turn()
    assert measured.value(metrics.REQUESTS, "ready", "m", "medium") == 2
    assert measured.value(metrics.REQUESTS, "waiting", "m", "medium") == 0
    assert measured.value(metrics.REQUESTS, "in_flight", "m", "high") == 0


def test_what_the_ready_set_cannot_take_waits(measured):
    measured.driver.own()
    measured.driver.read(0)
    measured.driver.admitted(AdmitOutcome.FULL, state=None)
    measured.turn()
    assert measured.value(metrics.REQUESTS, "waiting", "m", "medium") == 1


def test_the_index_is_shown_in_records_and_bytes(measured):
    measured.driver.own()
    measured.driver.read(0, 1, 2)
    measured.turn()
    entries = measured.driver.state.partitions[SOURCE].entries.values()
    payloads = sum(entry.size_bytes for entry in entries)
    assert measured.value(metrics.INDEX_RECORDS) == 3
    assert measured.value(metrics.INDEX_BYTES) > payloads + 3 * RECORD_BYTES


def test_the_lag_goes_from_the_watermark_to_the_end_of_the_partition(measured):
    measured.driver.own()
    measured.driver.read(0, 1, 2)
    measured.driver.feed(ev.OffsetSettled(SOURCE, 0))
    measured.ends = {PARTITION: 10}
    measured.turn()
    assert measured.value(metrics.PARTITION_LAG_RECORDS, *place_labels()) == 9
    assert measured.value(metrics.PARTITION_UNREAD_RECORDS, *place_labels()) == 7


def test_an_end_that_was_asked_before_the_read_makes_no_negative_lag(measured):
    measured.driver.own()
    measured.driver.read(0, 1, 2)
    measured.ends = {PARTITION: 1}
    measured.turn()
    assert measured.value(metrics.PARTITION_LAG_RECORDS, *place_labels()) == 3
    assert measured.value(metrics.PARTITION_UNREAD_RECORDS, *place_labels()) == 0


def test_the_age_of_the_oldest_that_waits_is_shown(measured):
    measured.driver.own()
    measured.driver.read(0)
    measured.driver.tick(after_ms=4_000)
    measured.turn()
    assert measured.value(metrics.PARTITION_OLDEST_SECONDS, *place_labels()) == 4


def test_what_is_in_flight_does_not_wait(measured):
    measured.driver.own(live={0: "not this one"})
    measured.driver.read(0)
    (admit,) = measured.driver.of(do.Admit)
    measured.driver.own(live={0: admit.admissions[0].facts.key})
    measured.driver.read(0)
    measured.driver.tick(after_ms=4_000)
    measured.turn()
    assert measured.value(metrics.PARTITION_OLDEST_SECONDS, *place_labels()) == 0
    assert measured.value(metrics.REQUESTS, "in_flight", "m", "medium") == 1


def test_a_partition_that_went_is_not_shown_any_more(measured):
    measured.driver.own()
    measured.turn()
    assert measured.meter.owned == (PARTITION,)
    measured.driver.feed(ev.Revoked(SOURCE))
    measured.turn()
    assert measured.value(metrics.PARTITION_LAG_RECORDS, *place_labels()) is None
    assert measured.value(metrics.PARTITIONS_OWNED) == 0
    assert measured.meter.owned == ()


def test_paused_partitions_are_counted(measured):
    measured.driver.own()
    measured.driver.state.partitions[SOURCE].paused = True
    measured.turn()
    assert measured.value(metrics.PARTITIONS_PAUSED) == 1


def test_only_the_dispatcher_shows_slots_in_use(measured):
    measured.turn()
    assert measured.value(metrics.SLOTS_IN_USE, "m", "high") is None
    measured.driver.lead(m=2)
    measured.driver.state.lead.board.taken(Slot("k", "m", "e", "high"), 1)
    measured.turn()
    assert measured.value(metrics.SLOTS_IN_USE, "m", "high") == 1
    assert measured.value(metrics.SLOTS_IN_USE, "m", "low") == 0
    assert measured.value(metrics.CAPACITY_SLOTS, "m") == 2
    assert measured.value(metrics.LIVE_SLOTS, "m") == 2


def test_requests_without_a_worker_are_shown_until_one_lives(measured):
    measured.driver.own()
    measured.driver.read(0, 1)
    measured.driver.feed(ev.OrdersSeen(Controls(), (), ARRIVAL_MS))
    measured.turn()
    assert measured.value(metrics.REQUESTS_WITHOUT_WORKER, "m") == 2
    measured.driver.lead(m=2)
    measured.turn()
    assert measured.value(metrics.REQUESTS_WITHOUT_WORKER, "m") == 0


def test_a_pool_that_is_scaled_to_zero_on_purpose_is_not_shown_as_missing(measured):
    measured.driver.own()
    measured.driver.feed(ev.OrdersSeen(Controls(), (), ARRIVAL_MS))
    measured.turn()
    assert measured.value(metrics.REQUESTS_WITHOUT_WORKER, "m") == 0
    measured.driver.read(0)
    paused = Controls.of([Control(ControlKind.PAUSE, "m")])
    measured.driver.feed(ev.OrdersSeen(paused, (), ARRIVAL_MS))
    measured.turn()
    assert measured.value(metrics.REQUESTS_WITHOUT_WORKER, "m") == 0


def test_without_redis_nobody_knows_which_workers_live(measured):
    measured.driver.own()
    measured.driver.read(0)
    measured.meter.redis.failed("MeetPeers", LedgerUnavailable("no answer"))
    measured.turn()
    assert measured.value(metrics.REQUESTS_WITHOUT_WORKER, "m") is None


def test_counters_of_a_model_that_is_added_are_shown_from_then_on(measured):
    settings = measured.driver.state.rules.settings
    (model,) = settings.models
    more = (model, model.model_copy(update={"name": "new", "queue": "new"}))
    measured.turn()
    assert measured.value(metrics.DOORBELLS_RUNG, "m") == 0
    assert measured.value(metrics.DOORBELLS_RUNG, "new") is None
    rules = Rules(settings.model_copy(update={"models": more}))
    measured.driver.feed(ev.RulesChanged(rules))
    measured.turn()
    assert measured.value(metrics.DOORBELLS_RUNG, "new") == 0


def test_a_change_of_the_lead_is_shown_at_once_and_told(measured, caplog):
    caplog.set_level(logging.INFO, logger="agentsched.events")
    measured.turn()
    measured.driver.lead(m=2)
    measured.turn(later_s=0.01)
    assert measured.value(metrics.LEADS) == 1
    measured.driver.state.leading = False
    measured.turn(later_s=0.01)
    assert measured.value(metrics.LEADS) == 0
    assert measured.value(metrics.LEADER_CHANGES) == 2
    assert caplog.messages == [
        "leader_gained bridge_id=b1",
        "leader_lost bridge_id=b1",
    ]


def test_turns_are_measured(measured):
    measured.turn(took_s=0.5)
    measured.turn(took_s=0.25)
    assert measured.value(metrics.LOOP_TURN_SECONDS, suffix="_count") == 2
    assert measured.value(metrics.LOOP_TURN_SECONDS, suffix="_sum") == 0.75


def test_the_state_is_measured_once_a_second(measured):
    measured.turn()
    measured.driver.own()
    measured.turn(later_s=0.5)
    assert measured.value(metrics.PARTITIONS_OWNED) == 0
    measured.turn(later_s=0.5)
    assert measured.value(metrics.PARTITIONS_OWNED) == 1


def test_a_bridge_that_is_not_in_its_group_is_not_ready(measured):
    measured.turn(joined=False)
    assert not measured.check("group").ok
    measured.turn(joined=True)
    assert measured.check("group").ok


def test_a_partition_that_the_ledger_has_not_told_of_is_not_ready(measured):
    measured.driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 0))
    measured.turn()
    assert not measured.check("index").ok
    measured.driver.own()
    measured.turn()
    assert measured.check("index").ok


def test_redis_is_told_of_once_when_it_goes_and_once_when_it_is_back(measured, caplog):
    caplog.set_level(logging.INFO, logger="agentsched.events")
    assert not measured.check("redis").ok
    measured.meter.redis.answered()
    assert measured.check("redis").ok
    for _ in range(2):
        measured.meter.redis.failed("MeetPeers", LedgerUnavailable("no answer"))
    assert measured.check("redis").detail == "no answer"
    measured.meter.redis.answered()
    measured.meter.redis.answered()
    assert measured.check("redis").ok
    assert [m.split()[0] for m in caplog.messages] == [
        "redis_unreachable",
        "redis_reachable",
    ]


def test_a_loop_that_stands_still_is_neither_live_nor_ready(measured):
    measured.turn()
    measured.meter.redis.answered()
    measured.now_s += 61
    assert measured.meter.loop.check().detail == "loop: silent for 61 s"
    assert not measured.check("redis").ok
    assert not measured.check("group").ok


def test_a_thread_that_polls_kafka_no_more_is_seen_in_both_checks(measured):
    measured.now_s += 91
    measured.turn(later_s=0)
    kafka = SimpleNamespace(poller=SimpleNamespace(check=lambda: None))
    page = BridgePage(settings(), measured.meters, measured.meter, kafka)
    for checks in (page._live, page._ready):
        assert checks["Kafka thread"]().detail == "Kafka thread: silent for 91 s"
    measured.meter.kafka_thread.report()
    assert measured.check("Kafka thread").ok
