"""How a loss or a rollback of Redis shows, and what a new epoch voids, on every adapter."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentsched.errors import EpochChanged
from agentsched.ledger.values import State
from agentsched.wire.epoch import NO_EPOCH, EpochCounter
from tests.support.ledgers import LONG_MS, OK, SOURCE, OnRedis, World


def test_the_counter_grows_with_every_beat(world: World):
    first, second = (world.ledger.membership.beat().pulse for _ in range(2))
    assert first.epoch == second.epoch == world.epoch
    assert second.beats == first.beats + 1


def test_who_knows_what_redis_shows_gets_the_same_epoch(world: World):
    known = world.ledger.membership.beat().pulse
    assert world.ledger.membership.beat(known).pulse == EpochCounter(
        world.epoch, known.beats + 1
    )


def test_an_epoch_begins_when_there_is_none_and_says_so(world: World):
    known = world.ledger.membership.beat().pulse
    world.backend.lose()
    beat = world.ledger.membership.beat(known)
    assert beat.pulse.epoch > known.epoch
    assert (beat.pulse.beats, beat.fresh) == (1, True)


def test_a_lower_counter_than_was_seen_begins_an_epoch(world: World):
    saved = world.backend.save()
    known = world.ledger.membership.beat().pulse
    world.backend.rollback(saved)
    beat = world.ledger.membership.beat(known)
    assert beat.pulse.epoch > known.epoch
    assert not beat.fresh


def test_an_older_epoch_than_was_seen_begins_an_epoch(world: World):
    saved = world.backend.save()
    world.backend.lose()
    known = world.ledger.membership.beat(EpochCounter(world.epoch, 1)).pulse
    assert known.epoch > world.epoch
    world.backend.rollback(saved)
    assert world.ledger.membership.beat(known).pulse.epoch > known.epoch


def test_a_newer_epoch_than_was_seen_stays(world: World):
    known = world.ledger.membership.beat().pulse
    world.backend.lose()
    newer = world.ledger.membership.beat(known).pulse
    assert world.ledger.membership.beat(known).pulse == EpochCounter(
        newer.epoch, newer.beats + 1
    )


def test_bridges_that_see_the_same_loss_agree_on_one_epoch(world: World):
    saved = world.backend.save()
    known = world.ledger.membership.beat().pulse
    world.backend.rollback(saved)
    with ThreadPoolExecutor(4) as threads:
        beats = list(
            threads.map(lambda _: world.ledger.membership.beat(known), range(8))
        )
    assert len({beat.pulse.epoch for beat in beats}) == 1
    assert sorted(beat.pulse.beats for beat in beats) == [*range(1, 9)]


def test_who_reads_on_where_the_log_was_put_back_is_told(world: World):
    world.ready()
    saved = world.backend.save()
    cursor = world.cursor()
    world.ready()
    (read,) = world.changes_since(cursor)
    world.backend.rollback(saved)
    world.backend.advance(2)
    world.ready()
    assert [change.kind for change in world.changes_since(cursor)] == ["ready"]
    with pytest.raises(EpochChanged):
        world.changes_since(read.at)


def test_a_lost_change_that_was_heard_of_begins_an_epoch(world: World):
    world.ready()
    known = world.ledger.membership.beat().pulse
    saved = world.backend.save()
    cursor = world.cursor()
    world.ready()
    (last_change,) = world.changes_since(cursor)
    world.backend.rollback(saved)
    world.backend.advance(2)
    world.ready()  # the log goes on beyond the place that was lost
    assert world.ledger.membership.beat(known, cursor).pulse.epoch == known.epoch
    assert world.ledger.membership.beat(known, last_change.at).pulse.epoch > known.epoch


def test_what_was_heard_of_an_older_epoch_proves_nothing(world: World):
    world.ready()
    last_change, known = world.cursor(), world.ledger.membership.beat().pulse
    world.backend.lose()
    newer = world.ledger.membership.beat(known).pulse
    assert world.ledger.membership.beat(known, last_change).pulse.epoch == newer.epoch


def test_an_epoch_that_replaced_another_tells_its_age(world: World):
    saved = world.backend.save()
    known = world.ledger.membership.beat().pulse
    world.backend.rollback(saved)
    world.ledger.membership.beat(known)
    world.backend.advance(30)
    assert 30 <= world.ledger.membership.beat(known).age_ms < LONG_MS


def test_entries_that_a_rollback_brought_back_are_not_seen(world: World):
    key = world.running(offset=4)
    saved = world.backend.save()
    known = world.ledger.membership.beat().pulse
    world.backend.rollback(saved)
    assert world.state(key) is State.RUNNING
    old, world.epoch = world.epoch, world.ledger.membership.beat(known).pulse.epoch
    assert world.state(key) is None
    assert world.ledger.partition(world.epoch, SOURCE, 0, 9).live == {}
    snapshot = world.ledger.snapshot(world.epoch)
    assert (snapshot.ready, snapshot.slots) == ((), ())
    with pytest.raises(EpochChanged):
        world.ledger.complete(old, key, "L1", b"r", OK)


def test_answered_offsets_outlive_a_rollback(world: World):
    world.answered(offset=4)
    saved = world.backend.save()
    known = world.ledger.membership.beat().pulse
    world.backend.rollback(saved)
    world.epoch = world.ledger.membership.beat(known).pulse.epoch
    assert world.done_offsets() == {4}


def test_what_older_epochs_left_is_dropped_and_nothing_else(redis_url: str):
    world, other = World(OnRedis(redis_url)), World(OnRedis(redis_url))
    world.ready()
    world.ledger.settle(world.epoch, SOURCE, 7)
    saved = world.backend.save()
    known = world.ledger.membership.beat().pulse
    world.backend.rollback(saved)
    old, world.epoch = world.epoch, world.ledger.membership.beat(known).pulse.epoch
    world.ready()
    kept = other.backend.names()
    world.ledger.membership.drop_older(world.epoch)
    assert not [name for name in world.backend.names() if old.encode() in name]
    assert world.done_offsets() == {7}
    assert len(world.ledger.snapshot(world.epoch).ready) == 1
    assert sorted(other.backend.names()) == sorted(kept)
    for each in (world, other):
        each.backend.lose()
        each.ledger.close()


def test_without_any_knowledge_the_first_generation_begins(world: World):
    world.backend.lose()
    assert world.ledger.membership.beat(NO_EPOCH).pulse.epoch.startswith("00000001")


@pytest.mark.parametrize("way", ["ready", "running"])
def test_a_reply_in_kafka_ends_what_a_rollback_brought_back(world: World, way: str):
    key = getattr(world, way)(offset=4)
    assert world.publish(key)
    assert world.state(key) is State.ANSWERED
    assert world.done_offsets() == {4}
    assert world.ledger.snapshot(world.epoch).ready == ()
    assert world.take(key) is None
    assert not world.complete(key, "L1")
    assert world.publish(key)


def test_who_runs_what_kafka_has_a_reply_of_hears_of_it(world: World):
    with contextlib.closing(world.ledger.voided()) as voided:
        voided.take(0.1)
        key = world.running(lease="L7")
        world.publish(key)
        assert voided.take(5) == "L7"
    assert world.in_flight() == 1  # its call runs until it is broken off
    world.complete(key, "L7")
    assert world.in_flight() == 0
