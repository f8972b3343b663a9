"""What `cancel` and `VoidedLeases` promise, on every adapter."""

from dataclasses import replace

import pytest

from agentsched.ledger.records import AdmitOutcome, Admitted, ChangeKind, State
from tests.support.ledgers import World
from tests.support.waiting import eventually

KEEP_S = 60


def cancel(world: World, key: str) -> State | None:
    return world.ledger.cancel(world.epoch, key, KEEP_S)


@pytest.mark.parametrize("state", ["ready", "rung", "running"])
def test_an_unanswered_request_is_marked_and_stays_where_it_is(world: World, state):
    key = getattr(world, state)()
    assert not world.view(key).cancelled
    assert cancel(world, key) is State(state)
    assert world.view(key).cancelled
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
    assert [(c.kind, c.key) for c in changes] == [(ChangeKind.CANCELLED, key)]


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
    assert world.view(key).cancelled


def test_the_mark_outlives_a_crash(world: World):
    key = world.crashed()
    cancel(world, key)
    world.ledger.expire(world.epoch, key)
    assert world.view(key).cancelled


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
    world.complete(world.rung())
    world.complete(world.running("L2"))
    assert eventually(lambda: voided.take(0.1)) == "L2"
    voided.close()
