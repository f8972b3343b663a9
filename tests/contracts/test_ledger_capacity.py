"""What `reserve`, `ring_again` and `unreserve` promise, on every adapter."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from agentsched.ledger.values import ClaimOutcome, ReserveOutcome, State
from tests.support.ledgers import GPT, GPT_AT, LEADER, LLAMA, World

RESERVED = ReserveOutcome.RESERVED
NOT_READY = ReserveOutcome.NOT_READY
NO_CAPACITY = ReserveOutcome.NO_CAPACITY


def test_a_reserved_request_is_rung_for_its_model(world: World):
    key = world.rung()
    view = world.view(key)
    assert (view.state, view.ring, view.model) == (State.RUNG, 1, GPT)


def test_a_repeated_reserve_has_the_same_answer_and_one_slot(world: World):
    key = world.rung()
    assert world.reserve(key) is RESERVED
    assert world.in_flight() == 1


def test_a_reserve_for_another_model_is_no_repetition(world: World):
    assert world.reserve(world.rung(), model=LLAMA) is NOT_READY


@pytest.mark.parametrize("ring", [0, 2])
def test_a_wrong_ring_number_reserves_nothing(world: World, ring: int):
    assert world.reserve(world.ready(), ring) is NOT_READY


def test_ring_numbers_go_on_after_a_return_to_ready(world: World):
    key = world.rung()
    world.ledger.unreserve(world.epoch, key, 1)
    assert world.reserve(key, 1) is NOT_READY
    assert world.reserve(key, 2) is RESERVED


def test_who_does_not_hold_the_dispatcher_lease_reserves_nothing(world: World):
    key = world.ready()
    assert world.reserve(key, by="another") is ReserveOutcome.NOT_DISPATCHER
    assert world.state(key) is State.READY


def test_a_dispatcher_whose_lease_is_over_reserves_nothing(world: World):
    key = world.ready()
    world.ledger.membership.resign(LEADER)
    world.ledger.membership.lead("short", 20)
    world.backend.advance(21)
    assert world.reserve(key, by="short") is ReserveOutcome.NOT_DISPATCHER


def test_nobody_reserves_while_there_is_no_dispatcher(world: World):
    world.ledger.membership.resign(LEADER)
    assert world.reserve(world.ready(), by="") is ReserveOutcome.NOT_DISPATCHER


def test_a_full_endpoint_reserves_nothing(world: World):
    for _ in range(2):
        world.reserve(world.ready(), model=LLAMA)
    key = world.ready()
    assert world.reserve(key, model=LLAMA) is NO_CAPACITY
    assert world.state(key) is State.READY


def test_a_full_endpoint_does_not_hinder_another(world: World):
    for _ in range(2):
        world.reserve(world.ready(), model=LLAMA)
    assert world.reserve(world.ready(), model=GPT) is RESERVED


def test_the_limit_over_all_models_counts_every_endpoint(world: World):
    world.limit(max_in_flight=2)
    world.reserve(world.ready(), model=GPT)
    world.reserve(world.ready(), model=LLAMA)
    assert world.reserve(world.ready(), model=GPT) is NO_CAPACITY


def test_a_rung_and_a_running_request_hold_a_slot_each(world: World):
    world.limit(capacity={(GPT, GPT_AT): 2})
    world.running()
    world.rung()
    assert world.reserve(world.ready()) is NO_CAPACITY


def test_without_limits_there_is_no_capacity(world: World):
    world.backend.lose()
    world.epoch = world.ledger.membership.beat().pulse.epoch
    world.ledger.membership.lead(LEADER, 60_000)
    assert world.reserve(world.ready()) is NO_CAPACITY


def test_an_unknown_endpoint_has_no_capacity(world: World):
    key = world.ready()
    answer = world.ledger.reserve(world.epoch, LEADER, key, 1, GPT, "https://other")
    assert answer is NO_CAPACITY


def test_a_model_name_with_a_bar_is_no_other_pool(world: World):
    world.limit(capacity={("a|b", "c"): 1, ("a", "b|c"): 0})
    key = world.ready()
    answer = world.ledger.reserve(world.epoch, LEADER, key, 1, "a", "b|c")
    assert answer is NO_CAPACITY
    assert world.ledger.reserve(world.epoch, LEADER, key, 1, "a|b", "c") is RESERVED
    assert world.view(key).model == "a|b"


def test_fifty_reserves_from_four_threads_fill_seven_slots(world: World):
    keys = [world.ready() for _ in range(50)]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(world.reserve, keys))
    assert answers.count(RESERVED) == 7
    assert answers.count(NO_CAPACITY) == 43
    assert world.in_flight() == 7


def test_a_retry_is_not_reserved_before_its_time(world: World):
    key = world.running()
    world.ledger.put_back(world.epoch, key, "L1", 300)
    assert world.reserve(key, 2) is ReserveOutcome.TOO_EARLY
    world.backend.advance(301)
    assert world.reserve(key, 2) is RESERVED


def test_a_new_ring_makes_the_old_doorbell_stale(world: World):
    key = world.rung()
    assert world.ledger.ring_again(world.epoch, key, 1)
    assert world.claim(key, 1).outcome is ClaimOutcome.STALE
    assert world.claim(key, 2).outcome is ClaimOutcome.CLAIMED


def test_a_repeated_ring_again_has_the_same_answer_and_one_effect(world: World):
    key = world.rung()
    assert world.ledger.ring_again(world.epoch, key, 1)
    assert world.ledger.ring_again(world.epoch, key, 1)
    assert world.view(key).ring == 2


def test_a_ring_again_long_ago_is_no_repetition(world: World):
    key = world.rung()
    world.ledger.ring_again(world.epoch, key, 1)
    world.ledger.ring_again(world.epoch, key, 2)
    assert not world.ledger.ring_again(world.epoch, key, 1)


def test_a_ring_number_that_reserve_reached_is_no_repetition(world: World):
    key = world.rung()
    world.ledger.unreserve(world.epoch, key, 1)
    world.reserve(key, 2)
    assert not world.ledger.ring_again(world.epoch, key, 1)
    assert world.view(key).ring == 2


def test_the_age_of_a_ring_starts_anew(world: World):
    key = world.rung()
    world.backend.advance(200)
    assert world.view(key).since_ms >= 200
    world.ledger.ring_again(world.epoch, key, 1)
    assert world.view(key).since_ms < 200


def test_an_unreserved_request_is_ready_and_its_slot_free(world: World):
    key = world.rung()
    assert world.ledger.unreserve(world.epoch, key, 1)
    assert world.state(key) is State.READY
    assert world.in_flight() == 0


def test_a_repeated_unreserve_has_the_same_answer(world: World):
    key = world.rung()
    assert world.ledger.unreserve(world.epoch, key, 1)
    assert world.ledger.unreserve(world.epoch, key, 1)


def test_an_unreserve_with_an_old_ring_number_does_nothing(world: World):
    key = world.rung()
    world.ledger.ring_again(world.epoch, key, 1)
    assert not world.ledger.unreserve(world.epoch, key, 1)
    assert world.state(key) is State.RUNG


def test_a_request_that_was_never_rung_cannot_be_unreserved(world: World):
    assert not world.ledger.unreserve(world.epoch, world.ready(), 0)
