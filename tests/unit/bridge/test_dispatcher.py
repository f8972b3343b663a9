"""The dispatcher: the lease, the picture, reservations and doorbells."""

from agentsched.ledger.values import (
    Change,
    ChangeKind,
    ReadyEntry,
    ReserveOutcome,
    Slot,
    Snapshot,
)
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.rules import Rules
from tests.support.requests import facts, settings
from tests.unit.bridge.driver import Driver

ENDPOINT = "http://127.0.0.1:1/v1"


def dispatcher(*ready, slots=(), live=9, **changes):
    driver = Driver(**changes)
    driver.tick()
    driver.lead(m=live)
    driver.tick()
    entries = tuple(ReadyEntry(entry, 0) for entry in ready)
    driver.feed(ev.Synced(Snapshot("5-0", 0, entries, slots), driver.now_ms))
    return driver


def reserved(driver, outcome=ReserveOutcome.RESERVED):
    (reserve,) = driver.of(do.Reserve)
    return driver.feed(ev.ReserveAnswered(reserve, outcome, driver.now_ms))


def keys(driver):
    return [command.key for command in driver.of(do.Reserve)]


def test_a_bridge_without_the_lease_reserves_nothing():
    driver = Driver()
    driver.tick()
    entry = ReadyEntry(facts(), 0)
    driver.feed(ev.Changed((Change(ChangeKind.READY, "9-0", ready=entry),), 0))
    assert keys(driver) == []


def test_a_new_dispatcher_takes_a_snapshot_first():
    driver = Driver()
    driver.tick()
    driver.lead(m=1)
    driver.tick()
    assert driver.of(do.TakeSnapshot) == [do.TakeSnapshot()]


def test_what_is_ready_is_reserved_with_the_next_ring_number():
    driver = dispatcher(facts("a"))
    (reserve,) = driver.of(do.Reserve)
    assert (reserve.key, reserve.ring, reserve.model) == ("a", 1, "m")


def test_a_reservation_rings_its_doorbell():
    driver = dispatcher(facts("a", cls="high"))
    (ring,) = reserved(driver)
    bell = ring.doorbell
    assert (bell.key, bell.ring, bell.epoch, bell.cls) == ("a", 1, "e1", "high")


def test_no_doorbell_without_a_reservation():
    driver = dispatcher(facts("a"))
    assert reserved(driver, ReserveOutcome.NO_CAPACITY) == []


def test_a_refused_reservation_makes_it_look_anew():
    driver = dispatcher(facts("a"))
    reserved(driver, ReserveOutcome.NOT_READY)
    driver.tick(50)
    assert driver.of(do.TakeSnapshot) == [do.TakeSnapshot()]


def test_a_dispatcher_that_lost_the_lease_stops():
    driver = dispatcher(facts("a"), facts("b"), capacity=1)
    reserved(driver, ReserveOutcome.NOT_DISPATCHER)
    freed = Change(ChangeKind.FREED, "9-0", key="a")
    driver.feed(ev.Changed((freed,), driver.now_ms))
    assert keys(driver) == []


def test_a_freed_slot_starts_the_next_at_once():
    driver = dispatcher(facts("a", arrival_ms=1), facts("b", arrival_ms=2), capacity=1)
    assert keys(driver) == ["a"]
    reserved(driver)
    driver.feed(ev.Changed((Change(ChangeKind.FREED, "9-0", key="a"),), driver.now_ms))
    assert keys(driver) == ["b"]


def test_a_high_request_that_arrives_late_is_the_next_to_start():
    driver = dispatcher(
        *(facts(f"l{n}", cls="low") for n in range(5)),
        slots=(Slot("x", "m", ENDPOINT, "low"), Slot("y", "m", ENDPOINT, "low")),
    )
    high = ReadyEntry(facts("h", cls="high"), 0)
    driver.feed(
        ev.Changed(
            (
                Change(ChangeKind.READY, "9-0", ready=high),
                Change(ChangeKind.FREED, "9-1", key="x"),
            ),
            driver.now_ms,
        )
    )
    assert keys(driver) == ["h"]


def test_changes_that_the_snapshot_has_are_skipped():
    driver = dispatcher()
    old = Change(ChangeKind.READY, "4-9", ready=ReadyEntry(facts("a"), 0))
    driver.feed(ev.Changed((old,), driver.now_ms))
    assert keys(driver) == []


def test_an_entry_that_another_dispatcher_took_is_not_reserved():
    driver = dispatcher(facts("a"), live=0)
    taken = Change(
        ChangeKind.TAKEN, "9-0", key="a", slot=Slot("a", "m", ENDPOINT, "low")
    )
    driver.feed(ev.Changed((taken,), driver.now_ms))
    driver.lead(m=9)
    assert keys(driver) == []


def test_a_withdrawn_entry_is_not_reserved():
    driver = dispatcher(facts("a"), live=0)
    driver.feed(ev.Changed((Change(ChangeKind.LEFT, "9-0", key="a"),), driver.now_ms))
    driver.lead(m=9)
    assert keys(driver) == []


def test_the_picture_is_taken_anew_now_and_then():
    driver = dispatcher()
    driver.tick(4_000)
    assert driver.of(do.TakeSnapshot) == []
    driver.tick(1_500)
    assert driver.of(do.TakeSnapshot) == [do.TakeSnapshot()]


def test_a_draining_dispatcher_gives_the_lease_up_and_reserves_nothing():
    driver = dispatcher(facts("a"), live=0)
    driver.feed(ev.DrainStarted())
    assert do.MeetPeers(lead=False) in driver.said
    driver.lead(m=9)
    assert keys(driver) == []


def test_lowered_limits_hold_at_once():
    driver = dispatcher(facts("a"), facts("b"), live=0)
    driver.feed(ev.RulesChanged(Rules(settings(capacity=1))))
    driver.lead(m=9)
    assert len(keys(driver)) == 1


def flooded(live=1, **changes):
    """A dispatcher with a flood of high and one low, and its first start."""
    high = [facts(f"h{n:03}", cls="high", arrival_ms=n) for n in range(200)]
    return dispatcher(*high, facts("low", cls="low"), live=live, **changes)


def run_for(driver, calls, each_ms):
    """Let `calls` starts end one by one, each after `each_ms`; returns the keys."""
    started = keys(driver)
    order = list(started)
    for number in range(calls):
        driver.now_ms += each_ms
        ended = Change(ChangeKind.FREED, f"9-{number}", key=started.pop(0))
        driver.feed(ev.Changed((ended,), driver.now_ms))
        started += keys(driver)
        order += keys(driver)
    return order


def test_a_class_that_starves_gets_its_floor_after_its_time():
    order = run_for(flooded(capacity=1), calls=30, each_ms=1_000)
    # 5 % of one slot pays for one request of a second after 20 s.
    assert order.index("low") in range(19, 23)


def test_the_floor_is_of_the_slots_that_are_live():
    order = run_for(flooded(capacity=9, live=1), calls=30, each_ms=1_000)
    assert order.index("low") in range(19, 23)


def test_the_floor_counts_what_requests_really_take():
    order = run_for(flooded(capacity=1), calls=40, each_ms=4_000)
    # Once calls are known to take 4 s, the floor pays for one after 80 s.
    assert order.index("low") in range(9, 22)


def test_the_floor_of_one_model_is_not_earned_at_another():
    endpoint = {"base_url": ENDPOINT, "capacity": 1}
    large = {"base_url": ENDPOINT, "capacity": 50}
    models = [
        {"name": "m", "endpoints": [endpoint]},
        {"name": "other", "endpoints": [large]},
    ]
    order = run_for(flooded(models=models), calls=30, each_ms=1_000)
    assert order.index("low") in range(19, 23)


def test_a_free_of_something_unknown_changes_nothing():
    driver = dispatcher(facts("a"), capacity=1)
    unknown = Change(ChangeKind.FREED, "9-0", key="never seen")
    driver.feed(ev.Changed((unknown,), driver.now_ms))
    assert keys(driver) == []


def test_the_change_at_the_cursor_itself_is_in_the_snapshot():
    driver = dispatcher()
    seen = Change(ChangeKind.READY, "5-0", ready=ReadyEntry(facts("a"), 0))
    driver.feed(ev.Changed((seen,), driver.now_ms))
    assert keys(driver) == []
    new = Change(ChangeKind.READY, "5-1", ready=ReadyEntry(facts("b"), 0))
    driver.feed(ev.Changed((new,), driver.now_ms))
    assert keys(driver) == ["b"]


def test_without_a_snapshot_nothing_is_reserved():
    driver = Driver()
    driver.tick()
    driver.lead(m=9)
    change = Change(ChangeKind.READY, "9-0", ready=ReadyEntry(facts("a"), 0))
    driver.feed(ev.Changed((change,), driver.now_ms))
    assert keys(driver) == []


def test_a_draining_bridge_never_takes_the_lease_again():
    driver = Driver()
    driver.feed(ev.DrainStarted())
    driver.tick(5_000)
    assert driver.of(do.MeetPeers) == [do.MeetPeers(lead=False)]


def test_a_bridge_asks_for_the_lease_every_second():
    driver = Driver()
    driver.tick()
    assert driver.of(do.MeetPeers) == [do.MeetPeers(lead=True)]
    driver.tick(999)
    assert driver.of(do.MeetPeers) == []
    driver.tick(1)
    assert driver.of(do.MeetPeers) == [do.MeetPeers(lead=True)]
