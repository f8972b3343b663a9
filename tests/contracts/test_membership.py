"""What `Membership` promises, on every adapter."""

from concurrent.futures import ThreadPoolExecutor

from tests.support.ledgers import LEADER, LONG_MS, World


def test_the_epoch_is_made_once(world: World):
    with ThreadPoolExecutor(4) as threads:
        epochs = set(threads.map(lambda _: world.ledger.beat().pulse.epoch, range(8)))
    assert epochs == {world.epoch}
    assert int(world.epoch, 16) >= 0


def test_one_dispatcher_leads_at_a_time(world: World):
    assert not world.ledger.lead("another", LONG_MS)
    assert world.ledger.lead(LEADER, LONG_MS)


def test_of_several_dispatchers_one_takes_a_free_lease(world: World):
    world.ledger.resign(LEADER)
    with ThreadPoolExecutor(4) as threads:
        led = list(
            threads.map(lambda it: world.ledger.lead(f"d{it}", LONG_MS), range(8))
        )
    assert led.count(True) == 1


def test_a_resigned_lease_is_free(world: World):
    world.ledger.resign(LEADER)
    assert world.ledger.lead("another", LONG_MS)


def test_only_the_holder_resigns(world: World):
    world.ledger.resign("another")
    assert not world.ledger.lead("another", LONG_MS)


def test_a_dispatcher_lease_ends_by_itself(world: World):
    world.ledger.lead(LEADER, 20)
    world.backend.advance(25)
    assert world.ledger.lead("another", LONG_MS)


def test_a_renewed_dispatcher_lease_lasts(world: World):
    world.ledger.lead(LEADER, 20)
    world.ledger.lead(LEADER, LONG_MS)
    world.backend.advance(25)
    assert not world.ledger.lead("another", LONG_MS)


def test_every_live_bridge_counts_once(world: World):
    assert world.ledger.beat_bridge("b1", LONG_MS) == 1
    assert world.ledger.beat_bridge("b2", LONG_MS) == 2
    assert world.ledger.beat_bridge("b1", LONG_MS) == 2


def test_a_silent_bridge_does_not_count(world: World):
    world.ledger.beat_bridge("b1", 20)
    world.backend.advance(21)
    assert world.ledger.beat_bridge("b2", LONG_MS) == 1


def test_a_bridge_that_left_does_not_count(world: World):
    world.ledger.beat_bridge("b1", LONG_MS)
    world.ledger.leave_bridge("b1")
    world.ledger.leave_bridge("b1")
    assert world.ledger.beat_bridge("b2", LONG_MS) == 1


def test_slots_are_summed_over_live_workers(world: World):
    world.ledger.beat_worker("w1", {"gpt-4": 4, "llama3": 1}, LONG_MS)
    world.ledger.beat_worker("w2", {"gpt-4": 3}, LONG_MS)
    assert world.ledger.live_slots() == {"gpt-4": 7, "llama3": 1}


def test_a_worker_says_its_slots_anew(world: World):
    world.ledger.beat_worker("w1", {"gpt-4": 4}, LONG_MS)
    world.ledger.beat_worker("w1", {"llama3": 2}, LONG_MS)
    assert world.ledger.live_slots() == {"llama3": 2}


def test_a_silent_worker_has_no_slots(world: World):
    world.ledger.beat_worker("w1", {"gpt-4": 4}, 20)
    world.backend.advance(21)
    assert world.ledger.live_slots() == {}


def test_what_a_silent_worker_said_does_not_stay(world: World):
    world.ledger.beat_worker("w1", {"gpt-4": 4}, 20)
    world.backend.advance(21)
    world.ledger.beat_worker("w2", {"gpt-4": 1}, LONG_MS)
    assert world.ledger.live_slots() == {"gpt-4": 1}


def test_a_worker_that_left_has_no_slots(world: World):
    world.ledger.beat_worker("w1", {"gpt-4": 4}, LONG_MS)
    world.ledger.leave_worker("w1")
    world.ledger.leave_worker("w1")
    assert world.ledger.live_slots() == {}


def test_without_workers_there_are_no_slots(world: World):
    assert world.ledger.live_slots() == {}
