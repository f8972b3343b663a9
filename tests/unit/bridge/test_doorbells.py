"""Doorbells: as many as parked slots that have something, and again where one got lost."""

from itertools import pairwise

import pytest

from agentsched.ledger.values import ChangeKind, ReadyEntry, Slot, Snapshot
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.doorbells import FIRST_PAUSE_MS, MAX_PAUSE_MS
from tests.support.requests import facts
from tests.unit.bridge.driver import Driver

ENDPOINT = "http://127.0.0.1:1/v1"
ONE_OF_M = (1, ("m",))
TWO_MODELS = [
    {"name": name, "endpoints": [{"base_url": ENDPOINT, "capacity": 2}]}
    for name in ("m", "other")
]


def dispatcher(*entries, slots=(), **changes):
    """One that leads, with its first plan."""
    driver = Driver(**changes)
    driver.tick()
    driver.lead(m=9, other=9)
    driver.tick()
    ready = tuple(ReadyEntry(entry) for entry in entries)
    driver.feed(ev.Synced(Snapshot("5-0", 0, ready, slots), driver.now_ms))
    return driver


def rung(driver):
    return [bell.key for ring in driver.of(do.Ring) for bell in ring.doorbells]


def many(number, **changes):
    return [facts(f"k{n}", arrival_ms=n, **changes) for n in range(number)]


def took(driver, key, at="9-0", model="m"):
    slot = Slot(key, model, ENDPOINT, "medium")
    return driver.change(ChangeKind.TAKEN, at, key=key, slot=slot)


def asked_again(driver, *parked, after_ms):
    """Let time pass, and answer the plan with which the dispatcher asks who is parked."""
    driver.tick(after_ms)
    return rung(driver) if not driver.of(do.PlanStarts) else _rung_after(driver, parked)


def _rung_after(driver, parked):
    driver.planned(*parked)
    return rung(driver)


def test_a_parked_slot_gets_a_doorbell_that_names_what_stands_first():
    driver = dispatcher(facts("low", cls="low"), facts("high", cls="high"))
    driver.planned(ONE_OF_M)
    ((bell,),) = [ring.doorbells for ring in driver.of(do.Ring)]
    assert (bell.key, bell.cls, bell.model, bell.epoch) == ("high", "high", "m", "e1")


def test_a_doorbell_has_the_number_of_the_take_that_it_may_lead_to():
    driver = dispatcher()
    again = ReadyEntry(facts("a"), turn=3)
    driver.change(ChangeKind.READY, "9-0", ready=again)
    driver.planned(ONE_OF_M)
    ((bell,),) = [ring.doorbells for ring in driver.of(do.Ring)]
    assert bell.turn == 4


def test_no_doorbell_without_a_parked_slot():
    driver = dispatcher(facts("a"))
    driver.planned()
    assert rung(driver) == []


def test_as_many_as_slots_are_parked_and_no_more():
    driver = dispatcher(*many(9), capacity=9)
    driver.planned((2, ("m",)), (1, ("m",)))
    assert rung(driver) == ["k0", "k1", "k2"]


def test_no_more_than_something_is_listed_for():
    driver = dispatcher(facts("a"))
    driver.planned((9, ("m",)))
    assert rung(driver) == ["a"]


def test_only_who_has_something_of_his_models_is_woken():
    driver = dispatcher(facts("a"), models=TWO_MODELS)
    driver.planned((9, ("other",)))
    assert rung(driver) == []


def test_one_request_of_two_models_is_rung_for_once():
    driver = dispatcher(facts("a", models=("m", "other")), models=TWO_MODELS)
    driver.planned((1, ("m", "other")))
    assert rung(driver) == ["a"]


def test_a_model_whose_capacity_is_used_up_has_nobody_woken():
    slots = tuple(Slot(f"x{n}", "m", ENDPOINT, "low") for n in range(2))
    driver = dispatcher(*many(3), slots=slots, capacity=3)
    driver.planned((9, ("m",)))
    assert rung(driver) == ["k0"]


def test_the_limit_over_all_models_has_nobody_woken():
    slots = (Slot("x", "m", ENDPOINT, "low"),)
    limits = {"max_in_flight": 2}
    driver = dispatcher(*many(3), slots=slots, capacity=9, limits=limits)
    driver.planned((9, ("m",)))
    assert rung(driver) == ["k0"]


def test_a_slot_for_which_a_doorbell_is_under_way_is_not_woken_again():
    driver = dispatcher(*many(2), capacity=9)
    driver.planned(ONE_OF_M)
    driver.change(ChangeKind.READY, "9-0", ready=ReadyEntry(facts("h", cls="high")))
    driver.planned(ONE_OF_M)  # it has not come yet
    assert rung(driver) == []


def test_a_slot_that_parks_again_is_woken_for_the_next():
    driver = dispatcher(*many(2), capacity=9)
    driver.planned(ONE_OF_M)
    took(driver, "k0")
    driver.change(ChangeKind.FREED, "9-1", key="k0")
    driver.planned(ONE_OF_M)
    assert rung(driver) == ["k1"]


def test_who_was_woken_and_took_another_is_woken_again():
    """A suspect for which there is no free child stands first, say."""
    driver = dispatcher(facts("suspect"), capacity=9)
    driver.planned(ONE_OF_M)
    driver.change(ChangeKind.READY, "9-0", ready=ReadyEntry(facts("a", arrival_ms=9)))
    driver.planned(ONE_OF_M)
    took(driver, "a", "9-1")
    driver.change(ChangeKind.READY, "9-2", ready=ReadyEntry(facts("b", arrival_ms=9)))
    driver.change(ChangeKind.FREED, "9-3", key="a")
    driver.planned(ONE_OF_M)
    assert rung(driver) == ["b"]


def test_while_slot_and_request_wait_it_is_rung_again_after_pauses_that_double():
    driver = dispatcher(facts("a"))
    driver.planned(ONE_OF_M)
    assert rung(driver) == ["a"]
    pause_ms = FIRST_PAUSE_MS
    for _ in range(3):
        assert asked_again(driver, ONE_OF_M, after_ms=pause_ms - 1) == []
        assert asked_again(driver, ONE_OF_M, after_ms=1) == ["a"]
        pause_ms *= 2


def test_the_pauses_end_somewhere():
    driver = dispatcher(facts("a"))
    driver.planned(ONE_OF_M)
    for _ in range(12):
        asked_again(driver, ONE_OF_M, after_ms=MAX_PAUSE_MS)
    assert asked_again(driver, ONE_OF_M, after_ms=MAX_PAUSE_MS) == ["a"]


def test_a_repeated_doorbell_is_told_apart():
    driver = dispatcher(facts("a"))
    driver.planned(ONE_OF_M)
    assert driver.of(do.Ring)[0].again == ()
    asked_again(driver, ONE_OF_M, after_ms=FIRST_PAUSE_MS)
    assert driver.of(do.Ring)[0].again == (("m", 1),)


def test_what_was_taken_is_not_rung_for_again():
    driver = dispatcher(facts("a"))
    driver.planned(ONE_OF_M)
    took(driver, "a")
    assert asked_again(driver, ONE_OF_M, after_ms=FIRST_PAUSE_MS) == []


def test_the_heartbeats_round_shows_slots_of_which_no_change_told():
    driver = dispatcher(facts("a"))
    driver.planned()
    driver.lead(m=9)
    driver.planned(ONE_OF_M)
    assert rung(driver) == ["a"]


def test_a_freed_slot_of_which_none_took_its_place_is_asked_after():
    slots = (Slot("x", "m", ENDPOINT, "low"),)
    driver = dispatcher(facts("a"), slots=slots, capacity=1)
    driver.planned(ONE_OF_M)
    assert rung(driver) == []  # its capacity is used up
    driver.change(ChangeKind.FREED, "9-0", key="x")
    driver.planned(ONE_OF_M)
    assert rung(driver) == ["a"]


@pytest.mark.parametrize("lost", ["lead", "epoch"])
def test_who_leads_no_more_rings_no_more(lost):
    driver = dispatcher(facts("a"))
    (command,) = driver.of(do.PlanStarts)
    if lost == "lead":
        driver.feed(ev.PeersSeen(2, leading=False, live_slots={}, now_ms=driver.now_ms))
    else:
        driver.lose()
    driver.said = [command]
    driver.planned(ONE_OF_M)
    assert rung(driver) == []


BOTH = ("m", "other")


def test_a_slot_of_one_group_is_woken_whomever_a_doorbell_wakes_in_another():
    driver = dispatcher(*many(2), models=TWO_MODELS)
    driver.planned(ONE_OF_M)
    assert rung(driver) == ["k0"]
    driver.lead(m=9, other=9)
    driver.planned(ONE_OF_M, (1, BOTH))
    assert rung(driver) == ["k1"]


def test_two_groups_of_one_model_wake_no_more_than_it_has_room_for():
    driver = dispatcher(*many(9), models=TWO_MODELS)
    driver.planned((9, ("m",)), (9, BOTH))
    assert rung(driver) == ["k0", "k1"]


def test_a_slot_that_hears_nothing_is_rung_for_more_and_more_seldom():
    """Though there is always another request that it was not rung for yet."""
    driver = dispatcher(*many(40), capacity=40)
    driver.planned(ONE_OF_M)
    times = [
        driver.now_ms for _ in range(200) if asked_again(driver, ONE_OF_M, after_ms=50)
    ]
    pauses = [b - a for a, b in pairwise(times)]
    assert pauses == [500, 1_000, 2_000, 4_000]


def test_another_slot_is_woken_beside_one_that_hears_nothing():
    driver = dispatcher(*many(9), capacity=9)
    driver.planned(ONE_OF_M)
    for pause_ms in (250, 500):
        assert asked_again(driver, ONE_OF_M, after_ms=pause_ms) != []
    driver.tick(FIRST_PAUSE_MS)
    driver.lead(m=9)
    driver.planned((2, ("m",)))
    assert len(rung(driver)) == 1


def test_a_slot_without_a_child_process_for_a_suspect_is_woken_for_what_comes():
    driver = dispatcher()
    suspect = ReadyEntry(facts("suspect", cls="high"), crashes=2)
    driver.change(ChangeKind.READY, "9-0", ready=suspect)
    driver.planned(ONE_OF_M)
    for _ in range(5):
        asked_again(driver, ONE_OF_M, after_ms=4_000)
    driver.tick(FIRST_PAUSE_MS)
    driver.change(ChangeKind.READY, "9-1", ready=ReadyEntry(facts("a")))
    driver.planned(ONE_OF_M)
    assert rung(driver) == ["a"]


def test_who_rings_looks_at_no_list_that_it_needs_not(monkeypatch):
    """A hundred models would cost 50 ms at each plan."""
    driver = dispatcher(*many(9), facts("o", models=("other",)), models=TWO_MODELS)
    driver.planned((9, ("m",)), (9, ("other",)))
    looked, first = [], driver.state.lead.lists.first

    def look(board, model):
        for member in first(board, model):
            looked.append(model)
            yield member

    monkeypatch.setattr(driver.state.lead.lists, "first", look)
    driver.lead(m=9, other=9)
    driver.planned((9, ("m",)), (0, ("other",)))
    assert looked == []  # two lie for m, and it has no more room
    driver.lead(m=9, other=8)
    driver.planned((9, BOTH))
    assert set(looked) == {"other"}
