"""Lists: who may start where, in which order, and when a list is written."""

import pytest

from agentsched.ledger.turns import MAX_LISTED
from agentsched.ledger.values import ReadyEntry, Slot, Snapshot
from agentsched.scheduling.board import Board, Ended
from agentsched.scheduling.floors import ClassFloors
from agentsched.scheduling.lists import MAX_MEMBERS, Lists
from agentsched.scheduling.supply import Supply
from tests.support.requests import facts

ONE = Supply({("m", "e"): 1}, {"m": 1})


def ready_of(entry, **changes):
    return ReadyEntry(entry, **changes)


def slot_of(key, model="m", endpoint="e"):
    return Slot(key, model, endpoint, "medium")


class Planner:
    """A board with its lists, as they were written."""

    def __init__(self, *entries, slots=(), supply=ONE, floors=None):
        self.board, self.supply = Board(), supply
        self.lists = Lists(floors if floors is not None else {})
        self.written = {}
        ready = tuple(map(ready_of, entries))
        self.board.reset(Snapshot("0-0", 0, ready, slots), 0)
        self.round()

    def round(self, now_ms=0):
        """Write what has changed; returns how many lists that were."""
        self.board.wake(now_ms)
        changed = self.lists.changed(self.board, self.supply, now_ms)
        for one in changed:
            keys = [member.key for member in one.members]
            self.written[one.model, one.endpoint] = keys
        return len(changed)

    def add(self, entry, now_ms=0, **changes):
        self.board.ready(ready_of(entry, **changes), now_ms)
        return self.round(now_ms)

    def take(self, key, model="m", endpoint="e"):
        self.board.taken(slot_of(key, model, endpoint), 0)
        return self.round()

    def __getitem__(self, pool):
        return self.written.get(pool, [])


def many(number, **changes):
    return [facts(f"k{n:04}", arrival_ms=n, **changes) for n in range(number)]


def keys_of(entries):
    return [entry.key for entry in entries]


# -- order -----------------------------------------------------------------------------


def test_high_stands_before_medium_before_low():
    kinds = {"l": "low", "h": "high", "m": "medium"}
    supply = Supply({("m", "e"): 3}, {"m": 3})
    planner = Planner(*(facts(k, cls=c) for k, c in kinds.items()), supply=supply)
    assert planner["m", "e"] == ["h", "m", "l"]


def test_a_request_that_names_a_model_is_listed_there_only():
    supply = Supply({("a", "e"): 5, ("b", "e"): 5}, {"a": 5, "b": 5})
    planner = Planner(facts("k", models=("b",)), supply=supply)
    assert planner.written == {("b", "e"): ["k"]}


def test_a_request_for_any_model_is_listed_at_each():
    supply = Supply({("a", "e"): 5, ("b", "e"): 5}, {"a": 5, "b": 5})
    planner = Planner(facts("k", models=("a", "b")), supply=supply)
    assert planner.written == {("a", "e"): ["k"], ("b", "e"): ["k"]}


def test_every_endpoint_of_a_model_has_the_same_list():
    supply = Supply({("m", "e1"): 1, ("m", "e2"): 1}, {"m": 2})
    planner = Planner(*many(4), supply=supply)
    assert planner["m", "e1"] == planner["m", "e2"] == keys_of(many(4))


def test_members_of_two_lists_can_be_compared():
    supply = Supply({("a", "e"): 1, ("b", "e"): 1}, {"a": 1, "b": 1})
    planner = Planner(
        facts("l", cls="low", models=("a",)),
        facts("h", cls="high", models=("b",)),
        supply=supply,
    )
    (low,) = planner.lists.first(planner.board, "a")
    (high,) = planner.lists.first(planner.board, "b")
    assert high.order < low.order


def test_a_class_that_is_owed_its_floor_stands_in_front_of_a_more_urgent_one():
    floors = {"m": ClassFloors()}
    floors["m"].earn(20_000, 1, lambda cls: cls == "low")
    low = [facts(f"l{n}", cls="low", arrival_ms=n) for n in range(2)]
    planner = Planner(facts("h", cls="high"), *low, floors=floors)
    first, second = planner.lists.first(planner.board, "m")
    assert (first.key, second.key) == ("l0", "h")
    assert first.order < second.order


def test_a_member_says_which_entry_it_is():
    planner = Planner()
    planner.add(facts("k"), turn=3, payload_hash="ab")
    (member,) = planner.lists.first(planner.board, "m")
    assert (member.key, member.turn, member.payload_hash) == ("k", 3, "ab")


# -- depth -----------------------------------------------------------------------------


def test_twice_the_capacity_is_listed_so_that_the_capacity_always_is():
    supply = Supply({("m", "e"): 3}, {"m": 3})
    planner = Planner(*many(20), supply=supply)
    assert len(planner["m", "e"]) == 6
    for key in keys_of(many(4)):
        planner.take(key)
    assert planner["m", "e"] == keys_of(many(10))[4:]


def test_what_starts_fast_is_listed_deeper():
    planner = Planner(*many(99))
    assert len(planner["m", "e"]) == 2
    for key in keys_of(many(10)):
        planner.board.taken(slot_of(key), 0)
    planner.round()
    assert len(planner["m", "e"]) == 2 * 2 * 10


def test_no_list_is_longer_than_the_ledger_takes():
    supply = Supply({("m", "e"): 5_000}, {"m": 5_000})
    assert len(Planner(*many(600), supply=supply)["m", "e"]) == MAX_LISTED


def test_a_model_without_a_worker_is_listed_for_the_worker_that_comes():
    planner = Planner(facts("k"), supply=Supply({("m", "e"): 5}, {}))
    assert planner["m", "e"] == ["k"]


def test_a_model_that_may_not_start_has_no_list():
    assert Planner(facts("k"), supply=Supply({}, {})).written == {}


def test_a_model_that_may_start_no_more_has_an_empty_list():
    planner = Planner(facts("k"))
    planner.supply = Supply({}, {"m": 1})
    planner.board.touch()
    planner.round()
    assert planner["m", "e"] == []


def test_one_plan_is_not_too_large_and_the_next_has_the_rest():
    pools = {("m" + str(n), "e"): 128 for n in range(64)}
    entries = [
        facts(f"{model}.{n:03}", models=(model,))
        for model, _ in pools
        for n in range(256)
    ]
    planner = Planner(*entries, supply=Supply(pools, {}))
    assert sum(map(len, planner.written.values())) <= MAX_MEMBERS + MAX_LISTED
    assert planner.lists.is_behind
    while planner.lists.is_behind:
        planner.round()
    assert sum(map(len, planner.written.values())) == len(entries)


# -- when a list is written ------------------------------------------------------------


def test_nothing_is_written_twice():
    planner = Planner(*many(3))
    planner.board.touch()
    assert planner.round() == 0


def test_what_is_better_than_the_last_of_a_list_is_written_at_once():
    planner = Planner(*many(9))
    assert planner.add(facts("h", cls="high")) == 1
    assert planner["m", "e"] == ["h", "k0000"]


def test_what_is_worse_than_the_last_of_a_full_list_is_not_written():
    planner = Planner(*many(9))
    assert planner.add(facts("l", cls="low")) == 0


def test_a_list_that_has_all_is_written_when_something_comes():
    planner = Planner(*many(1))
    assert planner.add(facts("l", cls="low")) == 1
    assert planner["m", "e"] == ["k0000", "l"]


def test_an_entry_that_was_taken_and_comes_back_is_listed_with_its_new_turn():
    planner = Planner(facts("k"))
    planner.take("k")
    planner.board.freed("k", 1)
    assert planner.add(facts("k"), turn=1) == 1
    assert [m.turn for m in planner.lists.first(planner.board, "m")] == [1]


def test_a_member_of_an_earlier_turn_may_not_start():
    planner = Planner(facts("k"))
    planner.board.taken(slot_of("k"), 0)
    planner.board.ready(ready_of(facts("k"), turn=1), 1)
    assert list(planner.lists.first(planner.board, "m")) == []


def test_what_is_forgotten_is_written_again():
    planner = Planner(*many(2))
    planner.lists.forget(planner.board)
    assert planner.lists.is_behind
    assert planner.round() == 1


def test_a_list_that_is_forgotten_is_emptied_where_nothing_waits():
    planner = Planner(facts("k"))
    planner.lists.forget(planner.board)
    planner.board.left("k")
    planner.round()
    assert planner["m", "e"] == []


def test_an_entry_before_its_time_is_not_listed_and_then_is():
    planner = Planner()
    planner.add(facts("k"), not_before_ms=500)
    assert planner["m", "e"] == []
    planner.round(now_ms=500)
    assert planner["m", "e"] == ["k"]


def test_it_is_told_where_more_ended_than_began():
    planner = Planner(*many(9), slots=(slot_of("x"), slot_of("y")))
    planner.board.freed("x", 1)
    planner.take("k0000")
    assert not planner.lists.somebody_parked
    planner.board.freed("y", 1)
    planner.round()
    assert planner.lists.somebody_parked


# -- what stands in front and cannot start ---------------------------------------------


@pytest.mark.parametrize("front", [0, 1, 3])
def test_who_stands_in_front_and_does_not_start_keeps_no_list_short(front):
    """A suspect without a child process, say; and what came before it is taken."""
    planner = Planner()
    for entry in many(40):
        planner.board.ready(ready_of(entry, crashes=2 * (entry.arrival_ms == front)), 0)
    planner.round()
    for key in keys_of(many(30)):
        if key != f"k{front:04}":
            assert key in planner["m", "e"], "a free slot would stand still"
            planner.take(key)


def test_what_is_withdrawn_behind_a_suspect_is_replaced_in_the_list():
    planner = Planner()
    planner.board.ready(ready_of(facts("s", cls="high"), crashes=2), 0)
    for entry in many(9):
        planner.add(entry)
    for key in keys_of(many(8)):
        planner.board.left(key)
        planner.round()
    assert planner["m", "e"] == ["s", "k0008"]


@pytest.mark.parametrize("cls", ["high", "low"])
def test_suspects_fill_no_list(cls):
    floors = {"m": ClassFloors()}
    floors["m"].earn(60_000, 8, lambda _: True)
    supply = Supply({("m", "e"): 4}, {"m": 4})
    planner = Planner(*many(9, cls=cls), supply=supply, floors=floors)
    for number in range(50):
        entry = facts(f"s{number:02}", cls="high", arrival_ms=-1)
        planner.board.ready(ready_of(entry, crashes=2), 0)
    planner.round()
    listed = planner["m", "e"]
    assert len(listed) == 8
    assert [key for key in listed if key[0] == "s"] == ["s00", "s01"]


def test_where_suspects_are_left_out_they_follow():
    planner = Planner()
    for number in range(5):
        entry = facts(f"s{number}", arrival_ms=number)
        planner.board.ready(ready_of(entry, crashes=2), 0)
    planner.round()
    for number in range(5):
        assert planner["m", "e"] == [f"s{number}"]
        planner.take(f"s{number}")


def test_what_is_overdue_leaves_its_place_to_others():
    """Who has to end it may be a bridge that is gone."""
    late = [facts(f"late{n}", deadline_ms=500) for n in range(5)]
    planner = Planner(*late, *many(3))
    assert planner["m", "e"] == ["late0", "late1"]
    planner.round(now_ms=500)
    assert planner["m", "e"] == ["k0000", "k0001"]


def test_an_entry_that_came_back_has_the_deadline_of_its_own():
    planner = Planner(facts("k", deadline_ms=500))
    planner.add(facts("k", deadline_ms=9_000))
    planner.round(now_ms=500)
    assert [one.key for one in planner.lists.first(planner.board, "m")] == ["k"]


# -- the limit over all models ---------------------------------------------------------


def two_models(*entries, most, slots=()):
    pools = {("a", "e"): 5, ("b", "e"): 5}
    supply = Supply(pools, {"a": 5, "b": 5}, max_in_flight=most)
    return Planner(*entries, supply=supply, slots=slots)


def test_where_the_limit_over_all_models_binds_only_the_best_of_all_is_listed():
    low, high = (
        facts("l", cls="low", models=("a",)),
        facts("h", cls="high", models=("b",)),
    )
    planner = two_models(low, high, most=1)
    assert planner.written == {("b", "e"): ["h"]}
    planner.take("h", "b")
    planner.board.freed("h", 1)
    planner.round()
    assert planner["a", "e"] == ["l"]
    assert list(planner.lists.first(planner.board, "b")) == []


def test_while_there_is_no_room_at_all_the_next_is_listed():
    entries = [
        facts("l", cls="low", models=("a",)),
        facts("h", cls="high", models=("b",)),
    ]
    planner = two_models(*entries, most=1, slots=(slot_of("x", "a"),))
    assert planner.written == {("b", "e"): ["h"]}


def test_who_has_no_free_slot_keeps_nobody_from_the_room():
    full = tuple(slot_of(f"x{n}", "b") for n in range(5))
    entries = [
        facts("l", cls="low", models=("a",)),
        facts("h", cls="high", models=("b",)),
    ]
    planner = two_models(*entries, most=6, slots=full)
    assert planner.written == {("b", "e"): ["h"], ("a", "e"): ["l"]}


def test_where_there_is_room_for_all_the_limit_changes_nothing():
    entries = [
        facts(f"{model}{n}", models=(model,)) for model in "ab" for n in range(3)
    ]
    planner = two_models(*entries, most=10)
    assert [len(keys) for keys in planner.written.values()] == [3, 3]


def test_a_floor_that_is_owed_at_one_model_goes_first_under_a_common_limit():
    floors = {"b": ClassFloors()}
    floors["b"].earn(60_000, 1, lambda cls: cls == "low")
    pools = {("a", "e"): 1, ("b", "e"): 1}
    planner = Planner(
        facts("h", cls="high", models=("a",)),
        facts("l", cls="low", models=("b",)),
        supply=Supply(pools, {"a": 1, "b": 1}, max_in_flight=1),
        floors=floors,
    )
    assert planner.written == {("b", "e"): ["l"]}


def test_when_the_limit_binds_no_more_every_model_has_its_own_list_again():
    entries = [
        facts("l", cls="low", models=("a",)),
        facts("h", cls="high", models=("b",)),
    ]
    planner = two_models(*entries, most=1)
    planner.supply = Supply({("a", "e"): 5, ("b", "e"): 5}, {"a": 5, "b": 5})
    planner.round()
    assert planner.written == {("b", "e"): ["h"], ("a", "e"): ["l"]}


def test_when_the_limit_binds_no_more_a_list_that_has_a_part_is_filled():
    planner = two_models(*many(30, models=("a",)), most=1)
    short = len(planner["a", "e"])
    planner.supply = Supply({("a", "e"): 5, ("b", "e"): 5}, {"a": 5, "b": 5})
    planner.round()
    assert (short, len(planner["a", "e"])) == (1, 10)


def test_requests_of_a_model_without_a_worker_hide_no_others():
    pools = {(name, "e"): 5 for name in ("dead", "a", "busy")}
    live = {"a": 5, "busy": 1}
    planner = Planner(
        *many(1_100, cls="high", models=("dead",)),
        facts("a", cls="low", models=("a",)),
        facts("b", cls="low", models=("busy",)),
        supply=Supply(pools, live, max_in_flight=4),
        slots=(slot_of("x", "busy"),),
    )
    assert planner["a", "e"] == ["a"]
    assert planner["busy", "e"] == ["b"]
    assert len(planner["dead", "e"]) == MAX_LISTED


def test_who_has_no_free_slot_stands_beside_only_where_it_is_better():
    slots = (slot_of("x", "b"), slot_of("y", "b"))
    planner = Planner(
        facts("h", cls="high", models=("b",)),
        facts("l", cls="low", models=("b",)),
        facts("b", arrival_ms=0, models=("a", "b")),
        *many(3, models=("a",)),
        supply=Supply({("a", "e"): 5, ("b", "e"): 2}, {"a": 5, "b": 2}, 3),
        slots=slots,
    )
    assert planner.written == {("b", "e"): ["h", "b"], ("a", "e"): ["b"]}


# -- slots -----------------------------------------------------------------------------


def test_a_slot_tells_how_long_it_was_in_use():
    board = Board()
    board.taken(slot_of("a"), 100)
    assert board.freed("a", 350) == Ended(slot_of("a"), 250)
    assert board.freed("a", 400) is None


def test_a_new_snapshot_keeps_the_start_of_slots_that_were_known():
    board = Board()
    board.taken(slot_of("a"), 100)
    board.reset(Snapshot("9-0", 300, (), (slot_of("a"),)), 300)
    assert board.freed("a", 350) == Ended(slot_of("a"), 250)


def test_a_new_snapshot_tells_which_slots_ended_and_which_are_new():
    board = Board()
    board.taken(slot_of("a"), 100)
    ended, new = board.reset(Snapshot("9-0", 300, (), (slot_of("b"),)), 300)
    assert (ended, new) == ([Ended(slot_of("a"), 200)], [slot_of("b")])


def test_slots_are_counted_by_model_however_often_they_are_told():
    board = Board()
    for _ in range(2):
        board.taken(slot_of("a"), 0)
    board.taken(slot_of("a", "other"), 0)  # it was freed there, which was missed
    assert (board.in_use("m"), board.in_use("other"), board.slots_in_use()) == (0, 1, 1)


def test_a_ledger_whose_clock_differs_confuses_neither_starts_nor_durations():
    planner = Planner()
    early = ready_of(facts("k"), not_before_ms=1_000_500)
    planner.board.reset(Snapshot("9-0", 1_000_000, (early,), (slot_of("a"),)), 100)
    planner.round(599)
    assert planner["m", "e"] == []
    planner.round(600)
    assert planner["m", "e"] == ["k"]
    assert planner.board.freed("a", 350) == Ended(slot_of("a"), 250)
