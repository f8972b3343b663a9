"""`plan`: who may list what, and that being listed is no state."""

from dataclasses import replace

import pytest

from agentsched.errors import EpochChanged
from agentsched.ledger.operator_orders import Control, ControlKind
from agentsched.ledger.turns import MAX_LISTED, Member, Parked, PlanOutcome, PoolList
from agentsched.ledger.values import State
from tests.support.ledgers import (
    GPT,
    GPT_AT,
    LEADER,
    LLAMA,
    LLAMA_AT,
    LONG_MS,
    WORKER,
    World,
)


def test_what_is_listed_stays_ready_and_starts_in_this_order(world: World):
    first, second = world.ready(), world.ready()
    world.beat()
    cursor = world.cursor()
    assert world.plan(second, first).outcome is PlanOutcome.PLANNED
    assert world.state(first) is world.state(second) is State.READY
    assert world.kinds_since(cursor) == []
    assert world.takes("L1", "L2", "L3") == [second, first]


def test_a_list_replaces_the_whole_list_of_its_pool_and_no_other(world: World):
    old, new, other = world.ready(), world.ready(), world.ready()
    world.beat()
    world.plan(old)
    world.plan(other, model=LLAMA)
    world.plan(new)
    assert set(world.takes("L1", "L2", "L3")) == {new, other}


def test_an_empty_list_stops_a_pool(world: World):
    world.plan(world.ready())
    world.beat()
    world.plan()
    assert world.takes("L1") == []


def test_one_plan_may_list_several_pools_and_one_request_in_each(world: World):
    key = world.ready()
    world.beat()
    member = world.member(key)
    pools = (PoolList(GPT, GPT_AT, (member,)), PoolList(LLAMA, LLAMA_AT, (member,)))
    assert world.plan(lists=pools).outcome is PlanOutcome.PLANNED
    assert world.takes("L1", "L2") == [key]
    assert world.in_flight(GPT) + world.in_flight(LLAMA) == 1


def test_a_plan_without_lists_tells_who_is_parked(world: World):
    world.plan(world.ready())
    world.beat("w2", parked=3)
    world.beat("w1", parked=0)
    planned = world.plan(lists=())
    assert planned.parked == (Parked("w2", 3, (GPT, LLAMA)),)
    assert planned.revision == world.revision()
    world.beat(WORKER)
    assert len(world.takes("L1")) == 1, "the lists are as they were"


def test_only_live_workers_are_told_as_parked(world: World):
    world.beat("w1", ms=40, parked=2)
    world.beat("w2", parked=1)
    world.backend.advance(50)
    assert [one.worker_id for one in world.plan().parked] == ["w2"]


def test_a_dispatcher_without_the_lease_lists_nothing(world: World):
    key = world.ready()
    world.beat()
    assert world.plan(key, dispatcher_id="other").outcome is PlanOutcome.NOT_DISPATCHER
    assert world.takes("L1") == []


def test_a_plan_of_an_older_revision_lists_nothing(world: World):
    key, old = world.ready(), world.revision()
    world.beat()
    world.limit()
    planned = world.plan(key, revision=old)
    assert (planned.outcome, planned.revision) == (PlanOutcome.OLD_REVISION, old + 1)
    assert world.takes("L1") == []


def test_an_older_plan_that_comes_late_changes_nothing(world: World):
    old, new = world.ready(), world.ready()
    world.beat()
    world.plan(new, number=7)
    assert world.plan(old, number=6).outcome is PlanOutcome.OLD_NUMBER
    assert world.takes("L1", "L2") == [new]


def test_the_same_plan_again_is_answered_and_not_done_again(world: World):
    first, second = world.ready(), world.ready()
    world.beat(parked=2)
    before = world.plan(first, second, number=7)
    assert world.plan(second, first, number=7) == before
    assert world.takes("L1") == [first]


def test_each_dispatcher_has_numbers_of_its_own(world: World):
    key, late = world.ready(), world.ready()
    world.beat()
    world.plan(number=100)
    world.ledger.membership.resign(LEADER)
    world.ledger.membership.lead("next", LONG_MS)
    planned = world.plan(key, dispatcher_id="next", number=1)
    assert planned.outcome is PlanOutcome.PLANNED
    world.ledger.membership.resign("next")
    world.ledger.membership.lead(LEADER, LONG_MS)
    assert world.plan(late, number=99).outcome is PlanOutcome.OLD_NUMBER


def test_a_plan_of_what_redis_has_lost_lists_nothing(world: World):
    saved = world.backend.save()
    world.ready()
    seen = world.cursor()
    world.backend.advance(5)
    world.backend.rollback(saved)
    key = world.ready()
    world.beat()
    assert world.plan(key, seen=seen).outcome is PlanOutcome.GONE
    assert world.takes("L1") == []


def test_a_plan_names_the_last_change_that_it_has_seen(world: World):
    key = world.ready()
    planned = world.plan(key, seen=world.cursor())
    assert planned.outcome is PlanOutcome.PLANNED
    assert world.plan(key, seen="0-0").outcome is PlanOutcome.PLANNED


def test_a_plan_in_another_epoch_is_refused(world: World):
    plan = world.plan
    world.epoch = "0" * 24
    with pytest.raises(EpochChanged):
        plan(lists=(), revision=0)


def test_a_list_is_bounded(world: World):
    key = world.ready()
    world.beat()
    void = Member(world.unknown(), "0" * 32, 0, 0)
    world.plan(*[void] * MAX_LISTED, world.member(key, 1))
    assert world.takes("L1") == []


@pytest.mark.parametrize("change", ["limits", "impose", "lift", "restore"])
def test_changed_limits_and_orders_raise_the_revision_and_void_all_lists(
    world: World, change: str
):
    operations, pause = world.ledger.operations, Control(ControlKind.PAUSE, LLAMA)
    if change == "lift":
        operations.impose(pause)
    world.plan(world.ready())
    world.beat()
    before, cursor = world.revision(), world.cursor()
    match change:
        case "limits":
            world.limit()
        case "impose":
            operations.impose(pause)
        case "lift":
            operations.lift(ControlKind.PAUSE, LLAMA)
        case "restore":
            operations.restore([replace(pause, at_ms=5)])
    assert world.revision() == before + 1
    assert world.kinds_since(cursor) == ["orders"]
    assert world.takes("L1") == []


def test_what_changes_nothing_leaves_the_revision(world: World):
    operations, pause = world.ledger.operations, Control(ControlKind.PAUSE, LLAMA)
    operations.impose(pause)
    before = world.revision()
    operations.restore([pause])
    operations.lift(ControlKind.PAUSE, GPT)
    assert world.revision() == before


def test_the_revision_and_who_is_parked_outlive_an_epoch(world: World):
    world.beat(parked=2)
    before = world.revision()
    pulse = world.ledger.membership.beat().pulse
    ahead = pulse._replace(beats=pulse.beats + 9)
    world.epoch = world.ledger.membership.beat(ahead).pulse.epoch
    assert world.epoch != pulse.epoch
    assert world.beat("w2") == world.epoch
    assert world.revision() == before
    assert world.plan().parked == (Parked(WORKER, 2, (GPT, LLAMA)),)
