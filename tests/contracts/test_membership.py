"""What `Membership` promises, on every adapter."""

from concurrent.futures import ThreadPoolExecutor

from tests.support.ledgers import LEADER, LONG_MS, World


def test_the_epoch_is_made_once(world: World):
    with ThreadPoolExecutor(4) as threads:
        epochs = set(
            threads.map(lambda _: world.ledger.membership.beat().pulse.epoch, range(8))
        )
    assert epochs == {world.epoch}
    assert int(world.epoch, 16) >= 0


def test_one_dispatcher_leads_at_a_time(world: World):
    assert not world.ledger.membership.lead("another", LONG_MS)
    assert world.ledger.membership.lead(LEADER, LONG_MS)


def test_of_several_dispatchers_one_takes_a_free_lease(world: World):
    world.ledger.membership.resign(LEADER)
    with ThreadPoolExecutor(4) as threads:
        led = list(
            threads.map(
                lambda it: world.ledger.membership.lead(f"d{it}", LONG_MS), range(8)
            )
        )
    assert led.count(True) == 1


def test_a_resigned_lease_is_free(world: World):
    world.ledger.membership.resign(LEADER)
    assert world.ledger.membership.lead("another", LONG_MS)


def test_only_the_holder_resigns(world: World):
    world.ledger.membership.resign("another")
    assert not world.ledger.membership.lead("another", LONG_MS)


def test_a_dispatcher_lease_ends_by_itself(world: World):
    world.ledger.membership.lead(LEADER, 20)
    world.backend.advance(25)
    assert world.ledger.membership.lead("another", LONG_MS)


def test_a_renewed_dispatcher_lease_lasts(world: World):
    world.ledger.membership.lead(LEADER, 20)
    world.ledger.membership.lead(LEADER, LONG_MS)
    world.backend.advance(25)
    assert not world.ledger.membership.lead("another", LONG_MS)


def test_every_live_bridge_counts_once(world: World):
    assert world.ledger.membership.beat_bridge("b1", LONG_MS) == 1
    assert world.ledger.membership.beat_bridge("b2", LONG_MS) == 2
    assert world.ledger.membership.beat_bridge("b1", LONG_MS) == 2


def test_a_silent_bridge_does_not_count(world: World):
    world.ledger.membership.beat_bridge("b1", 20)
    world.backend.advance(21)
    assert world.ledger.membership.beat_bridge("b2", LONG_MS) == 1


def test_a_bridge_that_left_does_not_count(world: World):
    world.ledger.membership.beat_bridge("b1", LONG_MS)
    world.ledger.membership.leave_bridge("b1")
    world.ledger.membership.leave_bridge("b1")
    assert world.ledger.membership.beat_bridge("b2", LONG_MS) == 1


def test_slots_are_summed_over_live_workers(world: World):
    world.ledger.membership.beat_worker("w1", {"gpt-4": 4, "llama3": 1}, LONG_MS)
    world.ledger.membership.beat_worker("w2", {"gpt-4": 3}, LONG_MS)
    assert world.ledger.membership.live_slots() == {"gpt-4": 7, "llama3": 1}


def test_a_worker_says_its_slots_anew(world: World):
    world.ledger.membership.beat_worker("w1", {"gpt-4": 4}, LONG_MS)
    world.ledger.membership.beat_worker("w1", {"llama3": 2}, LONG_MS)
    assert world.ledger.membership.live_slots() == {"llama3": 2}


def test_a_silent_worker_has_no_slots(world: World):
    world.ledger.membership.beat_worker("w1", {"gpt-4": 4}, 20)
    world.backend.advance(21)
    assert world.ledger.membership.live_slots() == {}


def test_what_a_silent_worker_said_does_not_stay(world: World):
    world.ledger.membership.beat_worker("w1", {"gpt-4": 4}, 20)
    world.backend.advance(21)
    world.ledger.membership.beat_worker("w2", {"gpt-4": 1}, LONG_MS)
    assert world.ledger.membership.live_slots() == {"gpt-4": 1}


def test_a_worker_that_left_has_no_slots(world: World):
    world.ledger.membership.beat_worker("w1", {"gpt-4": 4}, LONG_MS)
    world.ledger.membership.leave_worker("w1")
    world.ledger.membership.leave_worker("w1")
    assert world.ledger.membership.live_slots() == {}


def test_without_workers_there_are_no_slots(world: World):
    assert world.ledger.membership.live_slots() == {}


def test_a_heartbeat_is_told_the_epoch(world: World):
    assert world.beat() == world.epoch
    world.backend.lose()
    assert world.beat() == "", "none is made"
