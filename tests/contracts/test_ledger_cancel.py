"""What `cancel` and `VoidedLeases` promise, on every adapter."""

from dataclasses import replace

import pytest

from agentsched.ledger.values import (
    AdmitOutcome,
    Admitted,
    ChangeKind,
    Ending,
    PutBack,
    State,
)
from tests.support.ledgers import World
from tests.support.waiting import eventually

KEEP_S = 60


def cancel(world: World, key: str) -> State | None:
    return world.ledger.cancel(world.epoch, key, KEEP_S)


@pytest.mark.parametrize("state", ["ready", "running"])
def test_an_unanswered_request_is_marked_and_stays_where_it_is(world: World, state):
    key = getattr(world, state)()
    assert not world.view(key).ending
    assert cancel(world, key) is State(state)
    assert world.view(key).ending is Ending.CANCELLED
    assert world.state(key) is State(state)


@pytest.mark.parametrize("state", ["done", "answered"])
def test_an_answer_stays_an_answer(world: World, state):
    key, cursor = getattr(world, state)(), world.cursor()
    assert cancel(world, key) is State(state)
    assert world.cursor() == cursor


@pytest.mark.parametrize("state", ["unknown", "ready", "running"])
def test_all_bridges_hear_of_it(world: World, state):
    key, cursor = getattr(world, state)(), world.cursor()
    cancel(world, key)
    changes = world.changes_since(cursor)
    assert [c.kind for c in changes if c.key == key][-1] is ChangeKind.ENDING


def test_who_admits_it_later_is_told_and_nothing_is_stored(world: World):
    admission = world.admission()
    key = admission.facts.key
    assert cancel(world, key) is None
    assert world.admit(admission) == [Admitted(AdmitOutcome.CANCELLED)]
    assert world.state(key) is None


def test_with_its_reply_it_is_admitted_and_the_wish_is_forgotten(world: World):
    admission = world.admission()
    cancel(world, admission.facts.key)
    ended = replace(admission, reply=b"cancelled")
    assert world.admit(ended) == [Admitted(AdmitOutcome.NEW, State.DONE)]


def test_the_wish_is_kept_for_its_time_only(world: World):
    admission = world.admission()
    world.ledger.cancel(world.epoch, admission.facts.key, 1)
    world.backend.advance(1_100)
    assert world.admit(admission)[0].outcome is AdmitOutcome.NEW


def test_a_cancelled_request_is_not_withdrawn_and_so_not_forgotten(world: World):
    key = world.ready()
    cancel(world, key)
    assert world.ledger.withdraw(world.epoch, [key]) == [False]
    assert world.view(key).ending is Ending.CANCELLED


def test_the_mark_outlives_a_crash(world: World):
    key = world.crashed()
    cancel(world, key)
    world.ledger.expire(world.epoch, key)
    assert world.view(key).ending is Ending.CANCELLED


def test_a_voided_lease_is_told(world: World):
    voided = world.ledger.voided()
    voided.take(0.01)  # subscribed from here on
    lease = f"L-{world.unknown()}"
    world.complete(world.running(lease))
    # The session's other tests share the server, but not the namespace.
    assert eventually(lambda: voided.take(0.1)) == lease
    voided.close()


def test_the_end_of_a_lease_by_its_holder_is_not(world: World):
    voided = world.ledger.voided()
    voided.take(0.01)
    world.complete(world.running("L1"), "L1")
    world.complete(world.ready())
    world.complete(world.running("L2"))
    assert eventually(lambda: voided.take(0.1)) == "L2"
    voided.close()


def test_what_has_to_end_does_not_start(world: World):
    key = world.ready()
    cancel(world, key)
    assert key not in {
        entry.facts.key for entry in world.ledger.snapshot(world.epoch).ready
    }
    assert world.take(key) is None


def test_what_comes_back_and_has_to_end_is_not_offered_again(world: World):
    key = world.running("L1")
    cancel(world, key)
    cursor = world.cursor()
    world.ledger.put_back(world.epoch, key, "L1")
    assert ChangeKind.READY not in {c.kind for c in world.changes_since(cursor)}
    assert ChangeKind.ENDING in {c.kind for c in world.changes_since(cursor)}
    assert (world.state(key), world.in_flight()) == (State.READY, 0)


def crash_alone(world: World, key: str, turn: int, most: int = 3) -> None:
    assert world.take(key, f"A{turn}").turn == turn
    step = (world.epoch, key, f"A{turn}", 0, PutBack.CRASHED, most)
    assert world.ledger.put_back(*step)
    assert world.ledger.put_back(*step)  # repeated, and counted once


def test_a_request_that_crashes_alone_too_often_is_poison(world: World):
    key = world.ready()
    for turn in (1, 2):
        crash_alone(world, key, turn)
        assert (world.state(key), world.view(key).ending) == (State.READY, None)
    crash_alone(world, key, 3)
    assert world.view(key).ending is Ending.POISON
    assert world.view(key).attempts == 3
    assert world.take(key) is None


def test_crashes_with_others_are_counted_for_the_worker_and_poison_nobody(world: World):
    key = world.ready()
    world.beat()
    for crashes in range(4):
        world.plan(key)
        answer = world.turn(f"L{crashes}", lease_ms=1, free_children=1)
        assert [one.crashes for one in answer.taken] == [crashes]
        world.backend.advance(2)
        assert world.ledger.expire(world.epoch, key)
    assert world.view(key).ending is None


def test_a_start_that_was_none_does_not_count(world: World):
    key = world.running("L1")
    world.ledger.put_back(world.epoch, key, "L1", 0, PutBack.UNSTARTED)
    assert world.take(key, "L2").attempt == 1
