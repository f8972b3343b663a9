"""After a loss of Redis no step with the old epoch has any effect, on every adapter."""

import pytest

from agentsched.errors import EpochChanged
from agentsched.ledger.turns import Plan
from tests.support.ledgers import LEADER, LIMITS, LONG_MS, OK, REPLY_AT, SOURCE, World

STEPS = {
    "admit": lambda w, e, k: w.ledger.admit(e, [w.admission(key=k)]),
    "withdraw": lambda w, e, k: w.ledger.withdraw(e, [k]),
    "plan": lambda w, e, _: w.ledger.plan(e, Plan(LEADER, 9, 0, "", ())),
    "turn": lambda w, e, _: w.ledger.turn(e, w.next_turn("L9")),
    "expire": lambda w, e, k: w.ledger.expire(e, k),
    "renew": lambda w, e, k: w.ledger.renew(e, {k: "L1"}, LONG_MS),
    "put_back": lambda w, e, k: w.ledger.put_back(e, k, "L1"),
    "complete": lambda w, e, k: w.ledger.complete(e, k, "L1", b"r", OK),
    "reply": lambda w, e, k: w.ledger.reply(e, k),
    "published": lambda w, e, k: w.ledger.published(e, k, REPLY_AT),
    "settle": lambda w, e, _: w.ledger.settle(e, SOURCE, 1),
    "restore_done": lambda w, e, _: w.ledger.restore_done(e, SOURCE, [range(3)]),
    "partition": lambda w, e, _: w.ledger.partition(e, SOURCE, 0, 10),
    "forget_done": lambda w, e, _: w.ledger.forget_done(e, SOURCE, 10**6),
    "inspect": lambda w, e, k: w.ledger.inspect(e, [k]),
    "snapshot": lambda w, e, _: w.ledger.snapshot(e),
    "set_limits": lambda w, e, _: w.ledger.set_limits(e, LIMITS),
    "totals": lambda w, e, _: w.ledger.totals(e),
}


@pytest.mark.parametrize("step", STEPS)
def test_no_step_works_without_an_epoch(world: World, step: str):
    key = world.running()
    world.backend.lose()
    with pytest.raises(EpochChanged):
        STEPS[step](world, world.epoch, key)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_with_an_old_epoch_has_no_effect(world: World, step: str):
    key = world.running(offset=900)
    old = world.epoch
    world.backend.lose()
    world.epoch = world.ledger.membership.beat().pulse.epoch
    world.ledger.set_limits(world.epoch, LIMITS)
    with pytest.raises(EpochChanged):
        STEPS[step](world, old, key)
    assert world.changes_of_requests() == []
    assert world.done_offsets() == set()
    assert world.state(key) is None


def test_a_new_epoch_differs_from_the_old(world: World):
    world.backend.lose()
    assert world.ledger.membership.beat().pulse.epoch != world.epoch


def test_entries_of_an_old_epoch_are_not_seen(world: World):
    world.running()
    world.backend.lose()
    world.epoch = world.ledger.membership.beat().pulse.epoch
    snapshot = world.ledger.snapshot(world.epoch)
    assert (snapshot.ready, snapshot.slots) == ((), ())
