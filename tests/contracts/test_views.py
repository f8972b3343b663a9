"""What `Views` promises, on every adapter: looking changes nothing and tells all."""

import pytest

from agentsched.errors import EpochChanged
from agentsched.ledger.values import Ending, State
from agentsched.ledger.views import Description, LiveWorker, Pool
from tests.support.ledgers import (
    GPT,
    GPT_AT,
    LLAMA,
    LLAMA_AT,
    LONG_MS,
    REPLY_AT,
    World,
)


def describe(world, key) -> Description:
    description = world.ledger.views.describe(world.epoch, key)
    assert description is not None
    return description


def test_the_epoch_is_shown_and_none_is_made(world: World):
    assert world.ledger.views.epoch() == world.epoch
    world.backend.lose()
    assert world.ledger.views.epoch() is None
    assert world.ledger.views.epoch() is None


def test_every_pool_shows_its_slots_in_use(world: World):
    world.running("L1")
    world.running("L2")
    world.ready()
    assert world.ledger.views.pools(world.epoch) == [
        Pool(GPT, GPT_AT, 2, 7),
        Pool(LLAMA, LLAMA_AT, 0, 2),
    ]


def test_a_slot_whose_lease_is_over_is_not_in_use(world: World):
    world.crashed()
    assert [pool.in_flight for pool in world.ledger.views.pools(world.epoch)] == [0, 0]


def test_pools_are_those_of_the_limits_in_force(world: World):
    world.limit(capacity={(LLAMA, LLAMA_AT): 5})
    assert world.ledger.views.pools(world.epoch) == [Pool(LLAMA, LLAMA_AT, 0, 5)]


def test_live_workers_are_shown_with_their_slots(world: World):
    world.ledger.membership.beat_worker("w2@b/1", {GPT: 3}, LONG_MS)
    world.ledger.membership.beat_worker("w1@a/1", {GPT: 4, LLAMA: 1}, LONG_MS)
    world.ledger.membership.beat_worker("w3@a/1", {GPT: 4}, LONG_MS)
    world.ledger.membership.leave_worker("w3@a/1")
    assert world.ledger.views.workers() == [
        LiveWorker("w1@a/1", {GPT: 4, LLAMA: 1}),
        LiveWorker("w2@b/1", {GPT: 3}),
    ]


def test_a_live_worker_says_where_its_metrics_are(world: World):
    world.ledger.membership.beat_worker("w@a/1", {GPT: 3}, LONG_MS, "127.0.0.1:9791")
    assert world.ledger.views.workers() == [
        LiveWorker("w@a/1", {GPT: 3}, "127.0.0.1:9791")
    ]


def test_what_the_ledger_does_not_know_has_no_description(world: World):
    assert world.ledger.views.describe(world.epoch, world.unknown()) is None


def test_a_view_of_another_epoch_is_refused(world: World):
    for look in (
        world.ledger.views.pools,
        lambda e: world.ledger.views.describe(e, "k"),
    ):
        with pytest.raises(EpochChanged):
            look("another")


def test_a_ready_request_is_described_by_its_facts(world: World):
    admission = world.admission()
    world.admit(admission)
    found = describe(world, admission.facts.key)
    assert (found.state, found.facts) == (State.READY, admission.facts)
    assert (found.model, found.endpoint, found.attempts) == ("", "", 0)
    assert (found.not_before_ms, found.reply_at) == (0, None)
    assert 590_000 < found.deadline_left_ms <= 600_000


def test_the_age_of_the_state_is_told(world: World):
    key = world.ready()
    world.backend.advance(30)
    assert describe(world, key).since_ms >= 30


def test_a_running_request_is_described_by_its_lease(world: World):
    found = describe(world, world.running(ms=LONG_MS))
    assert (found.state, found.model, found.attempts) == (State.RUNNING, GPT, 1)
    assert found.endpoint == GPT_AT
    assert 0 < found.lease_left_ms <= LONG_MS


def test_a_retry_is_described_by_when_it_may_start(world: World):
    key = world.running()
    world.ledger.put_back(world.epoch, key, "L1", 60_000)
    found = describe(world, key)
    assert (found.state, found.attempts, found.model) == (State.READY, 1, "")
    assert 50_000 < found.not_before_ms <= 60_000


def test_a_crash_is_told(world: World):
    key = world.crashed()
    assert describe(world, key).lease_left_ms <= 0
    world.ledger.expire(world.epoch, key)
    assert (describe(world, key).crashes, describe(world, key).state) == (
        1,
        State.READY,
    )


def test_a_cancelled_request_says_so(world: World):
    key = world.ready()
    assert describe(world, key).ending is None
    world.ledger.cancel(world.epoch, key, 60)
    assert describe(world, key).ending is Ending.CANCELLED


def test_a_stored_reply_is_described_without_it(world: World):
    key = world.done()
    found = describe(world, key)
    assert (found.state, found.reply_at) == (State.DONE, None)
    assert found.facts is not None


def test_an_answered_request_is_described_by_where_its_reply_is(world: World):
    found = describe(world, world.answered())
    assert (found.state, found.facts, found.reply_at) == (
        State.ANSWERED,
        None,
        REPLY_AT,
    )


def test_looking_changes_nothing(world: World):
    key, cursor = world.ready(), world.cursor()
    describe(world, key)
    world.ledger.views.pools(world.epoch)
    world.ledger.views.workers()
    assert world.kinds_since(cursor) == []
    assert world.state(key) is State.READY
