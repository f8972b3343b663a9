"""Placement: who starts where, within which limits."""

from collections import defaultdict

from agentsched.ledger.values import ReadyEntry, Slot, Snapshot
from agentsched.scheduling.board import Board
from agentsched.scheduling.floors import ClassFloors
from agentsched.scheduling.placement import Supply, plan
from tests.support.requests import facts


def board_of(*entries, slots=()):
    board = Board()
    board.reset(
        Snapshot("0-0", 0, tuple(ReadyEntry(entry, 0) for entry in entries), slots), 0
    )
    return board


def starts(board, supply, floors=None, now_ms=0):
    floors = floors if floors is not None else defaultdict(ClassFloors)
    placed = plan(board, supply, floors, now_ms)
    return [(p.entry.facts.key, p.model, p.endpoint) for p in placed]


def test_high_starts_before_medium_before_low():
    board = board_of(
        facts("l", cls="low"), facts("h", cls="high"), facts("m", cls="medium")
    )
    supply = Supply({("m", "e"): 3}, {"m": 3})
    assert [key for key, *_ in starts(board, supply)] == ["h", "m", "l"]


def test_no_more_start_than_the_endpoint_has_capacity():
    board = board_of(*(facts(f"k{n}") for n in range(5)))
    assert len(starts(board, Supply({("m", "e"): 2}, {"m": 9}))) == 2


def test_slots_in_use_count():
    board = board_of(facts("k"), slots=(Slot("x", "m", "e", "low"),))
    assert starts(board, Supply({("m", "e"): 1}, {"m": 1})) == []


def test_no_more_start_than_live_workers_have_slots():
    board = board_of(*(facts(f"k{n}") for n in range(5)))
    assert len(starts(board, Supply({("m", "e"): 5}, {"m": 1}))) == 1


def test_nothing_starts_at_a_model_without_a_worker():
    assert starts(board_of(facts("k")), Supply({("m", "e"): 5}, {})) == []


def test_the_limit_over_all_models_holds_and_serves_the_most_urgent():
    board = board_of(
        facts("l", cls="low", models=("a",)), facts("h", cls="high", models=("b",))
    )
    supply = Supply({("a", "e"): 5, ("b", "e"): 5}, {"a": 5, "b": 5}, max_in_flight=1)
    assert starts(board, supply) == [("h", "b", "e")]


def test_a_request_that_names_a_model_never_starts_elsewhere():
    board = board_of(facts("k", models=("b",)))
    assert starts(board, Supply({("a", "e"): 5}, {"a": 5})) == []


def test_a_request_for_any_model_goes_where_most_is_free():
    board = board_of(facts("k", models=("a", "b")), slots=(Slot("x", "a", "e", "low"),))
    supply = Supply({("a", "e"): 2, ("b", "e"): 2}, {"a": 2, "b": 2})
    assert starts(board, supply) == [("k", "b", "e")]


def test_two_endpoints_of_a_model_fill_evenly():
    board = board_of(*(facts(f"k{n}") for n in range(4)))
    supply = Supply({("m", "e1"): 4, ("m", "e2"): 4}, {"m": 8})
    used = [endpoint for *_, endpoint in starts(board, supply)]
    assert sorted(used) == ["e1", "e1", "e2", "e2"]


def test_an_entry_before_its_time_does_not_start_and_then_does():
    board = Board()
    board.ready(ReadyEntry(facts("k"), 0, not_before_ms=500), now_ms=0)
    supply = Supply({("m", "e"): 1}, {"m": 1})
    assert starts(board, supply) == []
    board.wake(500)
    assert starts(board, supply, now_ms=500) == [("k", "m", "e")]


def test_a_class_that_is_owed_its_floor_starts_before_a_more_urgent_one():
    board = board_of(facts("h", cls="high"), facts("l", cls="low"))
    floors = defaultdict(ClassFloors)
    floors["m"].earn(60_000, 1, lambda cls: cls == "low")
    supply = Supply({("m", "e"): 1}, {"m": 1})
    assert starts(board, supply, floors) == [("l", "m", "e")]


def test_a_freed_slot_can_be_used_again():
    board = board_of(facts("a"), facts("b"))
    supply = Supply({("m", "e"): 1}, {"m": 1})
    (first,) = starts(board, supply)
    board.freed(first[0], 10)
    assert len(starts(board, supply)) == 1


def test_the_limit_over_all_models_counts_what_runs():
    board = board_of(facts("a"), facts("b"), slots=(Slot("x", "m", "e", "low"),))
    supply = Supply({("m", "e"): 9}, {"m": 9}, max_in_flight=2)
    assert len(starts(board, supply)) == 1


def test_what_still_runs_at_a_removed_model_hinders_no_other():
    board = board_of(facts("a"), slots=(Slot("x", "gone", "e", "low"),))
    assert len(starts(board, Supply({("m", "e"): 1}, {"m": 1}))) == 1


def test_slots_in_use_count_against_the_live_ones():
    board = board_of(facts("a"), slots=(Slot("x", "m", "e", "low"),))
    assert starts(board, Supply({("m", "e"): 9}, {"m": 1})) == []


def test_one_plan_has_so_many_starts_and_no_more():
    board = board_of(*(facts(f"k{n}") for n in range(9)))
    supply = Supply({("m", "e"): 9}, {"m": 9})
    assert len(plan(board, supply, defaultdict(ClassFloors), 0, most=4)) == 4


def test_a_floor_that_is_owed_at_one_model_goes_first_under_a_common_limit():
    board = board_of(
        facts("h", cls="high", models=("a",)), facts("l", cls="low", models=("b",))
    )
    floors = defaultdict(ClassFloors)
    floors["b"].earn(60_000, 1, lambda cls: cls == "low")
    supply = Supply({("a", "e"): 1, ("b", "e"): 1}, {"a": 1, "b": 1}, max_in_flight=1)
    assert starts(board, supply, floors) == [("l", "b", "e")]


def test_a_slot_tells_how_long_it_was_in_use():
    board = board_of(facts("a"))
    starts(board, Supply({("m", "e"): 1}, {"m": 1}), now_ms=100)
    assert board.freed("a", 350) == (Slot("a", "m", "e", "medium"), 250)
    assert board.freed("a", 400) is None


def test_a_new_snapshot_keeps_the_start_of_slots_that_were_known():
    board = board_of(facts("a"))
    starts(board, Supply({("m", "e"): 1}, {"m": 1}), now_ms=100)
    board.reset(Snapshot("9-0", 300, (), (Slot("a", "m", "e", "medium"),)), 300)
    assert board.freed("a", 350) == (Slot("a", "m", "e", "medium"), 250)


def test_a_ledger_whose_clock_differs_confuses_neither_starts_nor_durations():
    board = Board()
    early = ReadyEntry(facts("k"), 0, not_before_ms=1_000_500)
    slot = Slot("a", "m", "e", "medium")
    board.reset(Snapshot("9-0", 1_000_000, (early,), (slot,)), 100)
    supply = Supply({("m", "e"): 9}, {"m": 9})
    board.wake(599)
    assert starts(board, supply) == []
    board.wake(600)
    assert len(starts(board, supply)) == 1
    assert board.freed("a", 350) == (slot, 250)
