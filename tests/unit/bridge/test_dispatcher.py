"""The dispatcher: the lease, the picture, what is listed and what happens when that is refused."""

import pytest

from agentsched.ledger.turns import PlanOutcome
from agentsched.ledger.values import (
    AdmitOutcome,
    Change,
    ChangeKind,
    ReadyEntry,
    Slot,
    Snapshot,
    State,
)
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.rules import Rules
from tests.support.requests import facts, settings
from tests.unit.bridge.driver import Driver

ENDPOINT = "http://127.0.0.1:1/v1"


def ready_of(entry):
    return ReadyEntry(entry, payload_hash="f" * 32)


def synced(driver, *ready, slots=(), cursor="5-0"):
    entries = tuple(map(ready_of, ready))
    return driver.feed(ev.Synced(Snapshot(cursor, 0, entries, slots), driver.now_ms))


def dispatcher(*ready, slots=(), live=9, **changes):
    driver = Driver(**changes)
    driver.tick()
    driver.lead(m=live)
    driver.tick()
    synced(driver, *ready, slots=slots)
    return driver


def took(driver, key, at, cls="medium"):
    slot = Slot(key, "m", ENDPOINT, cls)
    return driver.change(ChangeKind.TAKEN, at, key=key, slot=slot)


def test_a_bridge_without_the_lease_plans_nothing():
    driver = Driver()
    driver.tick()
    driver.change(ChangeKind.READY, "9-0", ready=ready_of(facts()))
    assert driver.of(do.PlanStarts) == []


def test_a_new_dispatcher_takes_a_snapshot_first():
    driver = Driver()
    driver.tick()
    driver.lead(m=1)
    driver.tick()
    assert driver.of(do.TakeSnapshot) == [do.TakeSnapshot()]


def test_what_is_ready_is_listed_as_the_ledger_has_it():
    driver = dispatcher(facts("a"))
    (command,) = driver.of(do.PlanStarts)
    (one,) = command.plan.lists
    (member,) = one.members
    assert (one.model, one.endpoint) == ("m", ENDPOINT)
    assert (member.key, member.turn, member.payload_hash) == ("a", 0, "f" * 32)


def test_a_plan_names_the_last_change_that_was_seen_and_grows_in_number():
    driver = dispatcher(facts("a"))
    (first,) = driver.of(do.PlanStarts)
    driver.change(ChangeKind.READY, "9-3", ready=ready_of(facts("b", cls="high")))
    (second,) = driver.of(do.PlanStarts)
    assert (first.plan.seen, second.plan.seen) == ("5-0", "9-3")
    assert second.plan.number == first.plan.number + 1


def test_a_round_in_which_nothing_changed_has_no_plan():
    driver = dispatcher(facts("a"))
    driver.planned()
    assert driver.of(do.PlanStarts) == []
    driver.tick(50)
    assert driver.of(do.PlanStarts) == []


def test_a_high_request_that_arrives_late_stands_in_front():
    driver = dispatcher(*(facts(f"l{n}", cls="low", arrival_ms=n) for n in range(3)))
    driver.change(ChangeKind.READY, "9-0", ready=ready_of(facts("h", cls="high")))
    assert driver.listed() == ["h", "l0", "l1", "l2"]


def test_what_was_taken_is_not_listed_again():
    driver = dispatcher(*(facts(f"k{n}", arrival_ms=n) for n in range(9)), capacity=2)
    assert driver.listed() == ["k0", "k1", "k2", "k3"]
    for number in range(3):
        took(driver, f"k{number}", f"9-{number}")
    assert driver.listed() == ["k3", "k4", "k5", "k6"]


def test_a_list_that_is_long_enough_still_is_not_written_again():
    driver = dispatcher(*(facts(f"k{n}", arrival_ms=n) for n in range(9)), capacity=2)
    took(driver, "k0", "9-0")
    assert [plan.plan.lists for plan in driver.of(do.PlanStarts)] in ([], [()])
    assert driver.listed() == ["k0", "k1", "k2", "k3"]


def test_what_comes_last_does_not_change_a_full_list():
    driver = dispatcher(*(facts(f"k{n}", arrival_ms=n) for n in range(9)), capacity=2)
    late = ready_of(facts("late", arrival_ms=99))
    driver.change(ChangeKind.READY, "9-0", ready=late)
    assert driver.of(do.PlanStarts) == []


def test_changes_that_the_snapshot_has_are_skipped():
    driver = dispatcher()
    driver.change(ChangeKind.READY, "4-9", ready=ready_of(facts("a")))
    assert driver.listed() == []


def test_the_change_at_the_cursor_itself_is_in_the_snapshot():
    driver = dispatcher()
    driver.change(ChangeKind.READY, "5-0", ready=ready_of(facts("a")))
    assert driver.listed() == []
    driver.change(ChangeKind.READY, "5-1", ready=ready_of(facts("b")))
    assert driver.listed() == ["b"]


def test_the_picture_is_taken_anew_now_and_then():
    driver = dispatcher()
    driver.tick(4_000)
    assert driver.of(do.TakeSnapshot) == []
    driver.tick(1_500)
    assert driver.of(do.TakeSnapshot) == [do.TakeSnapshot()]


def test_a_large_picture_is_taken_less_often():
    driver = dispatcher(*(facts(f"k{n}") for n in range(5_000)))
    driver.tick(9_900)
    assert driver.of(do.TakeSnapshot) == []
    driver.tick(200)
    assert driver.of(do.TakeSnapshot) == [do.TakeSnapshot()]


def test_a_draining_dispatcher_gives_the_lease_up_and_plans_nothing():
    driver = dispatcher(facts("a"))
    driver.feed(ev.DrainStarted())
    assert do.MeetPeers(lead=False) in driver.said
    driver.lead(m=9)
    assert driver.of(do.PlanStarts) == []


def test_without_a_snapshot_nothing_is_planned():
    driver = Driver()
    driver.tick()
    driver.lead(m=9)
    driver.change(ChangeKind.READY, "9-0", ready=ready_of(facts("a")))
    assert driver.of(do.PlanStarts) == []


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


# -- plans that are refused ------------------------------------------------------------


def test_a_dispatcher_that_lost_the_lease_stops():
    driver = dispatcher(facts("a"))
    driver.planned(outcome=PlanOutcome.NOT_DISPATCHER)
    driver.change(ChangeKind.READY, "9-0", ready=ready_of(facts("b", cls="high")))
    assert driver.of(do.PlanStarts) == []


def test_with_an_old_revision_the_orders_are_read_and_all_is_listed_again():
    driver = dispatcher(facts("a"))
    driver.planned(outcome=PlanOutcome.OLD_REVISION)
    assert do.ReadOrders() in driver.said
    assert driver.of(do.PlanStarts) == []  # not with the old one
    driver.lists.clear()
    driver.feed(ev.OrdersSeen(driver.state.controls, (), driver.now_ms, 7))
    (command,) = driver.of(do.PlanStarts)
    assert (command.plan.revision, driver.listed()) == (7, ["a"])


def test_another_revision_has_all_listed_again():
    driver = dispatcher(facts("a"))
    driver.planned()
    driver.lists.clear()
    driver.feed(ev.OrdersSeen(driver.state.controls, (), driver.now_ms, 1))
    assert driver.listed() == ["a"]


def test_a_dispatcher_whose_last_change_is_gone_looks_into_the_epoch():
    driver = dispatcher(facts("a"))
    driver.planned(outcome=PlanOutcome.GONE)
    assert [beat.last_change for beat in driver.of(do.BeatEpoch)] == ["5-0"]


@pytest.mark.parametrize("answer", [None, PlanOutcome.OLD_NUMBER])
def test_a_plan_of_which_nobody_knows_is_written_again(answer):
    driver = dispatcher(facts("a"))
    (command,) = driver.of(do.PlanStarts)
    driver.lists.clear()
    if answer is None:
        driver.feed(ev.Planned(command, None, driver.now_ms))
    else:
        driver.planned(outcome=answer)
    assert driver.listed() == ["a"]


@pytest.mark.parametrize("outcome", list(PlanOutcome))
def test_no_refusal_forces_a_snapshot(outcome):
    """Else each would cost a look at all that is READY and runs, up to twenty a second."""
    driver = dispatcher(facts("a"))
    driver.planned(outcome=outcome)
    driver.tick(50)
    assert driver.of(do.TakeSnapshot) == []


# -- limits ----------------------------------------------------------------------------


def test_lowered_limits_hold_at_once():
    driver = dispatcher(*(facts(f"k{n}", arrival_ms=n) for n in range(20)), capacity=5)
    assert len(driver.listed()) == 10
    driver.feed(ev.RulesChanged(Rules(settings(capacity=1))))
    assert do.ReadOrders() in driver.said
    driver.feed(ev.OrdersSeen(driver.state.controls, (), driver.now_ms, 1))
    assert driver.listed() == ["k0", "k1"]


def test_what_is_being_admitted_is_listed_before_the_ledger_has_said_so():
    driver = dispatcher()
    driver.own()
    driver.read(0)
    (admission,) = driver.of(do.Admit)[0].admissions
    assert driver.listed() == [admission.facts.key]
    kinds = [type(command) for command in driver.said]
    assert kinds.index(do.Admit) < kinds.index(do.PlanStarts)


def test_what_was_not_admitted_after_all_is_not_listed_again():
    driver = dispatcher()
    driver.own()
    driver.read(0)
    driver.admitted(AdmitOutcome.CONFLICT, state=None)
    driver.feed(ev.OrdersSeen(driver.state.controls, (), driver.now_ms, 1))
    assert not driver.state.lead.board.has_ready()


def test_what_the_ledger_had_already_is_listed_as_it_says():
    driver = dispatcher(slots=())
    driver.own()
    driver.read(0)
    driver.admitted(AdmitOutcome.SAME, state=State.READY)
    assert not driver.state.lead.board.has_ready()
    key = next(iter(driver.state.by_key))
    back = ReadyEntry(facts(key), turn=3)
    driver.change(ChangeKind.READY, "9-0", ready=back)
    members = driver.of(do.PlanStarts)[-1].plan.lists[0].members
    assert [(member.key, member.turn) for member in members] == [(key, 3)]


# -- floors ----------------------------------------------------------------------------


def flooded(live=1, **changes):
    """A dispatcher with a flood of high and one low."""
    high = [facts(f"h{n:03}", cls="high", arrival_ms=n) for n in range(200)]
    return dispatcher(*high, facts("low", cls="low"), live=live, **changes)


def run_for(driver, calls, each_ms):
    """Let one slot take what is listed first, again and again; returns the keys."""
    order = []
    for number in range(calls):
        key = next(key for key in driver.listed() if key not in order)
        order.append(key)
        took(driver, key, f"9-{2 * number}", "low" if key == "low" else "high")
        driver.now_ms += each_ms
        driver.change(ChangeKind.FREED, f"9-{2 * number + 1}", key=key)
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


def test_a_floor_that_is_owed_stands_in_front_before_anything_else_changes():
    driver = flooded(capacity=1)
    for _ in range(21):
        driver.tick(1_000)
    took(driver, "h000", "9-0", "high")
    driver.tick(1_000)
    assert driver.listed()[0] == "low"


def charged(driver):
    return driver.state.lead.floors["m"]._charged


def test_a_slot_that_a_snapshot_does_not_show_any_more_gives_its_charge_back():
    """What freed it is older than the snapshot, and so it is skipped."""
    driver = dispatcher(facts("a"), capacity=1)
    took(driver, "a", "6-0")
    assert set(charged(driver)) == {"a"}
    synced(driver, cursor="8-0")
    driver.change(ChangeKind.FREED, "7-0", key="a")
    assert charged(driver) == {}


def test_a_slot_that_only_a_snapshot_shows_is_charged():
    driver = dispatcher(facts("a"), capacity=1)
    synced(driver, slots=(Slot("a", "m", ENDPOINT, "medium"),), cursor="8-0")
    assert set(charged(driver)) == {"a"}


def test_a_change_that_is_told_twice_is_charged_once():
    driver = dispatcher(facts("a"), capacity=1)
    took(driver, "a", "6-0")
    floors = driver.state.lead.floors["m"]
    floors._credit_ms["medium"] = 500.0
    took(driver, "a", "6-1")
    assert floors._credit_ms["medium"] == 500.0


def test_a_free_of_something_unknown_changes_nothing():
    driver = dispatcher(facts("a"), capacity=1)
    driver.planned()
    driver.change(ChangeKind.FREED, "9-0", key="never seen")
    assert driver.of(do.PlanStarts) == []


def test_a_dispatcher_that_goes_on_in_another_epoch_begins_anew_once():
    driver = dispatcher(facts("a"))
    driver.lose()
    lead = driver.state.lead
    driver.lead(m=9)
    assert driver.state.lead is lead


# -- lists that are not as they were written -------------------------------------------


def test_each_snapshot_has_all_listed_again():
    """Redis may have dropped a member, or lost the last plan: it tells nobody."""
    driver = dispatcher(facts("a"))
    driver.planned()
    driver.lists.clear()
    synced(driver, facts("a"), cursor="8-0")
    assert driver.listed() == ["a"]


def test_a_dispatcher_whose_lease_may_have_ended_in_between_begins_anew():
    """Another bridge may have led meanwhile, and written its lists over these."""
    driver = dispatcher(facts("a"))
    driver.planned()
    lead = driver.state.lead
    driver.now_ms += 2_999
    driver.lead(m=9)
    assert driver.state.lead is lead
    driver.now_ms += 3_000
    driver.lead(m=9)
    driver.lists.clear()
    driver.tick()
    assert driver.of(do.TakeSnapshot) == [do.TakeSnapshot()]
    synced(driver, facts("a"), cursor="8-0")
    assert driver.listed() == ["a"]


def test_what_is_marked_to_end_leaves_its_place_to_others():
    """The bridge that has to end it may be gone."""
    entries = [facts(f"k{n}", arrival_ms=n) for n in range(4)]
    driver = dispatcher(*entries, capacity=1)
    assert driver.listed() == ["k0", "k1"]
    for number in range(2):
        driver.change(ChangeKind.ENDING, f"9-{number}", key=f"k{number}")
    assert driver.listed() == ["k2", "k3"]


def test_what_a_plan_did_not_write_because_redis_was_put_back_is_written_again():
    driver = dispatcher(facts("a"))
    driver.lists.clear()
    driver.planned(outcome=PlanOutcome.GONE)
    driver.tick(50)
    assert driver.listed() == ["a"]


def test_a_plan_without_an_answer_is_cut_no_more():
    driver = dispatcher(facts("a"))
    (command,) = driver.of(do.PlanStarts)
    driver.state.lead.lists.was_cut = True
    driver.state.draining = True
    driver.feed(ev.Planned(command, None, driver.now_ms))
    assert not driver.state.lead.lists.was_cut


def test_a_change_of_an_earlier_epoch_is_not_of_this_board():
    driver = dispatcher()
    late = Change(ChangeKind.READY, "9-0", ready=ready_of(facts("a")))
    driver.feed(ev.Changed((late,), driver.now_ms, "e0"))
    assert driver.listed() == []
