"""`turn`: what a worker process takes, and each check before that."""

import json
from dataclasses import replace

import pytest

from agentsched.errors import EpochChanged
from agentsched.ledger.turns import (
    LAST_TURN_KEPT_MS,
    MAX_TURN_BYTES,
    UNTOLD,
    Completion,
    HandBack,
    Member,
    Parked,
    Publication,
    Taken,
)
from agentsched.ledger.values import (
    AdmitOutcome,
    CallOutcome,
    ChangeKind,
    PutBack,
    Slot,
    State,
)
from agentsched.wire.codec import hash_value
from tests.support.ledgers import (
    GPT,
    GPT_AT,
    LEADER,
    LIMITS,
    LLAMA,
    LLAMA_AT,
    LONG_MS,
    OK,
    REPLY_AT,
    WORKER,
    World,
)


@pytest.fixture(autouse=True)
def _alive(world: World) -> None:
    world.beat()


def _taken(world: World, lease: str = "L1", **changed: object) -> str:
    """A request that the worker has just taken."""
    key = world.ready(**changed)
    world.plan(key)
    assert world.takes(lease) == [key]
    return key


# -- what a take gives ---------------------------------------------------------------


def test_a_take_says_all_that_a_worker_needs(world: World):
    admission = world.admission()
    world.admit(admission)
    facts = admission.facts
    world.plan(facts.key)
    (taken,) = world.turn("L1").taken
    now_ms = world.backend.now_ms()
    assert taken == Taken(
        facts.key,
        "L1",
        facts,
        admission.payload,
        admission.payload_hash,
        GPT,
        GPT_AT,
        turn=1,
        attempt=1,
        time_left_ms=taken.time_left_ms,
        queued_ms=taken.queued_ms,
        crashes=0,
    )
    assert taken.time_left_ms == pytest.approx(facts.deadline_ms - now_ms, abs=500)
    assert taken.queued_ms == pytest.approx(now_ms - facts.arrival_ms, abs=500)


def test_a_take_is_a_lease_and_holds_a_slot(world: World):
    key = _taken(world)
    view = world.view(key)
    assert view
    assert (view.state, view.turn, view.attempts, view.model) == (
        State.RUNNING,
        1,
        1,
        GPT,
    )
    assert 0 < view.lease_left_ms <= LONG_MS
    snapshot = world.ledger.snapshot(world.epoch)
    assert snapshot.slots == (Slot(key, GPT, GPT_AT, "high"),)
    assert snapshot.ready == ()
    assert world.ledger.renew(world.epoch, {key: "L1"}, LONG_MS) == {key: True}


def test_all_that_a_turn_changes_has_one_place_in_the_log(world: World):
    first = _taken(world)
    second = world.ready()
    world.plan(second)
    cursor = world.cursor()
    done = Completion(first, "L1", b"r", OK)
    world.turn("L2", completions=(done,))
    changes = world.changes_since(cursor)
    assert [(one.kind, one.key) for one in changes] == [
        (ChangeKind.FREED, first),
        (ChangeKind.TAKEN, second),
    ]
    assert {one.at for one in changes} == {world.cursor()}
    page, found = world.ledger.changes(world.epoch, cursor, 0, limit=1)
    assert (page, found) == (world.cursor(), changes), "a page never cuts a turn"


def test_each_take_raises_turn_and_only_real_starts_count(world: World):
    key = _taken(world)
    back = HandBack(key, "L1", why=PutBack.UNSTARTED)
    world.turn(hand_backs=(back,))
    world.plan(key)
    (taken,) = world.turn("L2").taken
    assert (taken.turn, taken.attempt) == (2, 1)
    world.turn(hand_backs=(HandBack(key, "L2"),))
    world.plan(key)
    (taken,) = world.turn("L3").taken
    assert (taken.turn, taken.attempt) == (3, 2)


def test_of_several_pools_the_smallest_order_comes_first(world: World):
    keys = [world.ready() for _ in range(4)]
    orders = dict(zip(keys, (4, 1, 3, 2), strict=True))
    ranked = sorted(keys, key=orders.__getitem__)
    for model in (GPT, LLAMA):
        mine = [world.member(key, orders[key]) for key in ranked[model == LLAMA :: 2]]
        world.plan(*mine, model=model)
    assert world.takes("L1", "L2", "L3") == ranked[:3]


def test_a_worker_takes_for_its_models_only(world: World):
    theirs, ours = world.ready(), world.ready()
    world.plan(theirs)
    world.plan(ours, model=LLAMA)
    assert world.takes("L1", "L2", models=(LLAMA,)) == [ours]


def test_a_list_longer_than_the_free_slots_goes_on_in_the_next_turn(world: World):
    keys = [world.ready() for _ in range(7)]
    world.plan(*keys)
    assert world.takes("L1", "L2") == keys[:2]
    assert world.takes("L3", "L4", "L5", "L6", "L7") == keys[2:]


def test_void_members_do_not_stand_in_the_way(world: World):
    key = world.ready()
    void = [Member(world.unknown(), "0" * 32, 0, order) for order in range(40)]
    world.plan(*void, world.member(key, 40))
    assert world.takes("L1") == [key]


# -- each check: what is not so starts nothing --------------------------------------------


def test_an_unknown_epoch_does_nothing(world: World):
    world.epoch = "0" * 24
    with pytest.raises(EpochChanged):
        world.turn("L1")


def test_without_a_heartbeat_nothing_is_taken_and_the_rest_is_done(world: World):
    done, next_ = _taken(world), world.ready()
    world.plan(next_)
    world.ledger.membership.leave_worker(WORKER)
    answer = world.turn("L2", completions=(Completion(done, "L1", b"r", OK),))
    assert (answer.refused, answer.completed, answer.taken) == (True, (True,), ())
    assert (world.state(done), world.state(next_)) == (State.DONE, State.READY)


def test_a_heartbeat_that_is_over_counts_as_none(world: World):
    world.plan(world.ready())
    world.beat(ms=1)
    world.backend.advance(2)
    assert world.turn("L1").refused


def test_the_list_of_a_dispatcher_that_does_not_lead_is_void(world: World):
    world.plan(world.ready())
    world.ledger.membership.resign(LEADER)
    assert world.takes("L1") == []
    world.ledger.membership.lead("next", LONG_MS)
    assert world.takes("L2") == []


def test_nothing_starts_after_an_order_has_returned(world: World):
    key = world.ready()
    world.plan(key)
    world.limit()
    assert world.takes("L1") == []
    world.plan(key)
    assert world.takes("L2") == [key]


@pytest.mark.parametrize("state", list(State))
def test_only_what_is_ready_starts(world: World, state: State):
    make = {
        State.READY: world.ready,
        State.RUNNING: lambda: _taken(world, "L0"),
        State.DONE: world.done,
        State.ANSWERED: world.answered,
    }.get(state)
    if make is None:
        pytest.skip("it goes away")
    key = make()
    view = world.view(key)
    hash_ = hash_value(b'{"content":"hello"}')
    world.plan(Member(key, hash_, view.turn if view else 0, 0))
    assert world.takes("L9") == ([key] if state is State.READY else [])


def test_another_content_under_the_same_identity_is_another_request(world: World):
    key = world.ready()
    world.plan(key)
    assert world.ledger.withdraw(world.epoch, [key]) == [True]
    (again,) = world.admit(world.admission(b"{}", key=key))
    assert again.outcome is AdmitOutcome.NEW
    assert world.takes("L1") == []


def test_one_that_was_taken_since_it_was_listed_does_not_start(world: World):
    key = _taken(world)
    member = Member(key, hash_value(b'{"content":"hello"}'), 0, 0)
    world.turn(hand_backs=(HandBack(key, "L1"),))
    world.plan(member)
    assert world.takes("L2") == []
    world.plan(replace(member, turn=1))
    assert world.takes("L3") == [key]


def test_what_was_withdrawn_does_not_start(world: World):
    key = world.ready()
    world.plan(key)
    assert world.ledger.withdraw(world.epoch, [key]) == [True]
    assert world.takes("L1") == []


def test_what_has_to_end_does_not_start(world: World):
    key = world.ready()
    world.plan(key)
    world.ledger.cancel(world.epoch, key, 60)
    assert world.takes("L1") == []
    assert world.state(key) is State.READY


def test_what_is_overdue_does_not_start(world: World):
    key = world.ready(deadline_ms=world.backend.now_ms() + 50)
    world.plan(key)
    world.backend.advance(60)
    assert world.takes("L1") == []
    assert world.state(key) is State.READY, "its bridge answers it"


def test_a_retry_waits_for_its_time(world: World):
    key = _taken(world)
    world.turn(hand_backs=(HandBack(key, "L1", delay_ms=200),))
    world.plan(key)
    other = world.ready()
    world.plan(key, other)
    assert world.takes("L2") == [other]
    world.backend.advance(250)
    assert world.takes("L3") == [key], "it stayed listed, as it was only too early"


def test_what_a_turn_takes_has_so_many_bytes_at_the_most(world: World):
    large = json.dumps({"content": "x" * (MAX_TURN_BYTES // 2)}).encode()
    keys = []
    for _ in range(3):
        admission = world.admission(large)
        world.admit(admission)
        keys.append(admission.facts.key)
    hash_ = admission.payload_hash
    world.plan(*(Member(key, hash_, 0, order) for order, key in enumerate(keys)))
    turn = world.next_turn("L1", "L2", "L3")
    answer = world.ledger.turn(world.epoch, turn)
    assert ([one.key for one in answer.taken], answer.more) == (keys[:2], True)
    assert world.ledger.turn(world.epoch, turn).more, "the same turn again"
    answer = world.turn("L4", "L5")
    assert ([one.key for one in answer.taken], answer.more) == (keys[2:], False)


def test_one_that_is_larger_than_that_is_taken_alone(world: World):
    large = json.dumps({"content": "x" * MAX_TURN_BYTES}).encode()
    admission = world.admission(large)
    world.admit(admission)
    key = admission.facts.key
    world.plan(Member(key, admission.payload_hash, 0, 0), world.member(world.ready()))
    assert world.takes("L1", "L2") == [key]


@pytest.mark.parametrize(
    "limits",
    [
        {"capacity": {(GPT, GPT_AT): 2, (LLAMA, LLAMA_AT): 9}},
        {"max_in_flight": 2},
    ],
    ids=["capacity", "max_in_flight"],
)
def test_capacity_holds_and_what_it_stops_stays_listed(world: World, limits):
    world.limit(**limits)
    keys = [world.ready() for _ in range(4)]
    world.plan(*keys)
    assert world.takes("L1", "L2", "L3") == keys[:2]
    assert world.takes("L4") == []
    done = Completion(keys[0], "L1", b"r", OK)
    assert world.takes("L5", "L6", completions=(done,)) == [keys[2]]


def test_a_full_pool_does_not_stop_another(world: World):
    world.limit(capacity=LIMITS.capacity | {(GPT, GPT_AT): 0})
    stuck, free = world.ready(), world.ready()
    world.plan(stuck)
    world.plan(free, model=LLAMA)
    assert world.takes("L1") == [free]


def test_a_pool_without_a_limit_has_no_capacity(world: World):
    world.limit(capacity={})
    world.plan(world.ready())
    assert world.takes("L1") == []


def test_a_lease_that_is_over_holds_no_slot(world: World):
    world.limit(capacity={(GPT, GPT_AT): 1})
    key, next_ = world.ready(), world.ready()
    world.plan(key, next_)
    assert world.takes("L1", lease_ms=40) == [key]
    cursor = world.cursor()
    world.backend.advance(50)
    assert world.takes("L2") == [next_]
    assert world.kinds_since(cursor) == ["freed", "taken"]


def _suspect(world: World) -> str:
    key = world.ready()
    for lease in ("S1", "S2"):
        world.plan(key)
        assert world.takes(lease, lease_ms=1) == [key]
        world.backend.advance(2)
        assert world.ledger.expire(world.epoch, key)
    return key


def test_a_suspect_needs_a_free_child_and_stays_listed_without(world: World):
    first, second, innocent = _suspect(world), _suspect(world), world.ready()
    world.plan(first, second, innocent)
    assert world.takes("L1") == [innocent]
    (taken,) = world.turn("L2", "L3", free_children=1).taken
    assert (taken.key, taken.crashes, taken.attempt) == (first, 2, 3)
    assert world.takes("L4", free_children=1) == [second]


# -- idempotence: rules 1 and 2 -------------------------------------------------------


def test_the_same_turn_again_returns_what_still_runs_and_takes_no_more(world: World):
    first, second, third = (world.ready() for _ in range(3))
    world.plan(first, second, third)
    turn = world.next_turn("L1", "L2")
    answer = world.ledger.turn(world.epoch, turn)
    assert [one.key for one in answer.taken] == [first, second]
    cursor = world.cursor()
    again = world.ledger.turn(world.epoch, turn)
    assert [(one.key, one.lease_id, one.payload) for one in again.taken] == [
        (one.key, one.lease_id, one.payload) for one in answer.taken
    ]
    assert [(one.turn, one.attempt) for one in again.taken] == [(1, 1), (1, 1)]
    assert world.kinds_since(cursor) == []
    world.complete(first, "L1")
    (left,) = world.ledger.turn(world.epoch, turn).taken
    assert left.key == second


def test_the_steps_of_a_repeated_turn_have_the_same_answers(world: World):
    done, sent, back = (_taken(world, lease) for lease in ("L1", "L2", "L3"))
    world.complete(sent, "L2")
    turn = world.next_turn(
        published=(Publication(sent, REPLY_AT), Publication(world.unknown(), REPLY_AT)),
        completions=(
            Completion(done, "L1", b"r", OK),
            Completion(back, "no", b"r", OK),
        ),
        hand_backs=(HandBack(back, "L3"), HandBack(done, "no")),
    )
    answer = world.ledger.turn(world.epoch, turn)
    assert answer.published == answer.completed == answer.put_back == (True, False)
    before = world.trace(back)
    assert world.ledger.turn(world.epoch, turn) == answer
    assert world.trace(back) == before


def test_an_older_turn_that_comes_late_takes_nothing(world: World):
    key = world.ready()
    late = world.next_turn("L1")
    world.turn("L2")
    world.plan(key)
    answer = world.ledger.turn(world.epoch, late)
    assert (answer.refused, answer.taken) == (True, ())
    assert world.state(key) is State.READY


def test_what_a_turn_took_whose_answer_was_lost_is_put_back_unstarted(world: World):
    key, kept = world.ready(), _taken(world, "L0")
    world.plan(key)
    lost = world.next_turn("L1")
    world.ledger.turn(world.epoch, lost)
    cursor = world.cursor()
    answer = world.turn("L2", seen=lost.number - 1)
    assert answer.taken == (), "its member is void: it was taken once"
    view = world.view(key)
    assert view
    assert (view.state, view.turn, view.attempts) == (State.READY, 1, 0)
    assert world.state(kept) is State.RUNNING, "an older turn's, whose answer arrived"
    assert world.kinds_since(cursor) == ["freed", "ready"]
    assert world.takes("L3", seen=lost.number - 1) == []


def test_what_was_seen_is_kept(world: World):
    key = _taken(world)
    world.turn("L2")
    assert world.state(key) is State.RUNNING


def test_a_lost_turn_is_put_back_also_where_nothing_is_asked_for(world: World):
    key = world.ready()
    world.plan(key)
    lost = world.next_turn("L1")
    world.ledger.turn(world.epoch, lost)
    world.turn(seen=lost.number - 1)
    assert world.state(key) is State.READY


def test_another_process_has_numbers_of_its_own(world: World):
    world.turn("L1", number=50)
    key = world.ready()
    world.plan(key)
    world.beat("w2")
    assert world.takes("L2", worker_id="w2") == [key]


def test_the_last_turn_of_who_has_left_is_remembered(world: World):
    world.turn(number=50)
    world.ledger.membership.leave_worker(WORKER)
    world.beat()
    world.plan(world.ready())
    assert world.turn("L1", number=49, seen=49).refused


def test_who_has_left_gets_what_an_unheard_turn_took_put_back(world: World):
    key = world.ready()
    world.plan(key)
    lost = world.next_turn("L1")
    world.ledger.turn(world.epoch, lost)
    world.ledger.membership.leave_worker(WORKER)
    again = world.ledger.turn(world.epoch, lost)
    assert [one.key for one in again.taken] == [key], "it may be repeated still"
    assert world.turn(seen=lost.number - 1).refused
    view = world.view(key)
    assert view
    assert (view.state, view.attempts, view.turn) == (State.READY, 0, 1)
    world.plan(key)
    assert world.ledger.turn(world.epoch, lost).taken == (), "it comes late"


def test_who_was_never_alive_leaves_no_record(world: World):
    world.turn(worker_id="w9", number=50)
    world.beat("w9")
    assert not world.turn("L1", worker_id="w9", number=1, seen=0).refused


def test_whose_heart_stopped_for_a_while_is_not_new(world: World):
    """A late message of before must not pass for the next turn."""
    late = world.next_turn("L1")
    world.turn()
    world.beat(ms=1)
    world.backend.advance(2)
    world.beat("w2")
    world.beat()
    assert world.ledger.turn(world.epoch, late).refused


def test_the_record_of_a_dead_process_goes_a_while_after_its_heartbeat(world: World):
    world.turn(number=50)
    world.beat(ms=-LAST_TURN_KEPT_MS - 1)
    world.beat("w2")
    world.beat()
    assert not world.turn("L1", number=1, seen=0).refused


# -- parked slots: rule 5 ---------------------------------------------------------------


def test_slots_that_found_nothing_are_recorded_as_parked(world: World):
    world.plan(world.ready())
    world.turn("L1", "L2", "L3")
    assert world.plan(lists=()).parked == (Parked(WORKER, 2, (GPT, LLAMA)),)
    world.plan(world.ready(), world.ready())
    world.turn("L4", "L5")
    assert world.plan(lists=()).parked == ()


def test_a_repeated_or_late_turn_leaves_the_parked_as_they_are(world: World):
    late = world.next_turn("L1", "L2")
    world.turn("L3")
    world.ledger.turn(world.epoch, late)
    assert world.plan().parked == (Parked(WORKER, 1, (GPT, LLAMA)),)


def test_a_turn_that_does_not_tell_leaves_the_parked_as_they_are(world: World):
    world.turn("L1", "L2")
    world.turn(free_slots=UNTOLD)
    assert world.plan().parked == (Parked(WORKER, 2, (GPT, LLAMA)),)
    world.turn(free_slots=0)
    assert world.plan().parked == ()


def test_who_leaves_is_not_parked(world: World):
    world.turn("L1")
    world.ledger.membership.leave_worker(WORKER)
    world.beat()
    assert world.plan().parked == ()


# -- the other steps ---------------------------------------------------------------------


def test_complete_frees_the_slot_for_a_take_of_the_same_turn(world: World):
    world.limit(capacity={(GPT, GPT_AT): 1})
    first = _taken(world)
    second = world.ready()
    world.plan(second)
    answer = world.turn("L2", completions=(Completion(first, "L1", b"one", OK),))
    assert answer.completed == (True,)
    assert [one.key for one in answer.taken] == [second]
    stored = world.ledger.reply(world.epoch, first)
    assert stored.value == b"one"
    totals = world.ledger.totals(world.epoch)[GPT]
    assert (totals.in_flight, totals.calls, totals.failed) == (1, 1, 0)
    assert totals.model_ms == OK.model_ms


def test_the_totals_of_one_turn_add_up(world: World):
    calls = {
        "L1": CallOutcome(ok=True, model_ms=40),
        "L2": CallOutcome(ok=False, model_ms=2),
        "L3": CallOutcome(ok=True, called=False),
    }
    done = tuple(
        Completion(_taken(world, lease), lease, b"r", outcome)
        for lease, outcome in calls.items()
    )
    assert world.turn(completions=done).completed == (True, True, True)
    totals = world.ledger.totals(world.epoch)[GPT]
    assert (totals.calls, totals.failed, totals.model_ms) == (2, 1, 42)


def test_a_reply_that_is_published_and_one_that_is_completed_in_one_turn(world: World):
    sent, done = _taken(world, "L1"), _taken(world, "L2")
    world.complete(sent, "L1")
    answer = world.turn(
        published=(Publication(sent, REPLY_AT),),
        completions=(Completion(done, "L2", b"r", OK),),
    )
    assert (answer.published, answer.completed) == ((True,), (True,))
    assert world.state(sent) is State.ANSWERED
    assert world.state(done) is State.DONE


def test_a_zombie_s_reply_is_refused(world: World):
    key = world.ready()
    world.plan(key)
    world.takes("L1", lease_ms=1)
    world.backend.advance(2)
    assert world.ledger.expire(world.epoch, key)
    world.plan(key)
    world.takes("L2")
    assert world.turn(completions=(Completion(key, "L1", b"old", OK),)).completed == (
        False,
    )
    assert world.state(key) is State.RUNNING


def test_a_late_reply_counts_while_nobody_has_taken_the_lease_away(world: World):
    key = world.ready()
    world.plan(key)
    world.takes("L1", lease_ms=1)
    world.backend.advance(2)
    world.ledger.snapshot(world.epoch)  # sweeps
    cursor = world.cursor()
    assert world.turn(completions=(Completion(key, "L1", b"r", OK),)).completed == (
        True,
    )
    assert world.kinds_since(cursor) == [], "its slot was free before"


def test_a_call_that_goes_on_after_its_reply_keeps_its_slot(world: World):
    world.limit(capacity={(GPT, GPT_AT): 1})
    key = world.ready()
    world.plan(key, world.ready())
    world.takes("L1", lease_ms=300)
    answer = world.turn(
        "L2", completions=(Completion(key, "L1", b"r", OK, keeps_slot=True),)
    )
    assert (answer.completed, answer.taken) == ((True,), ())
    assert (world.state(key), world.in_flight()) == (State.DONE, 1)
    world.backend.advance(310)
    assert len(world.takes("L3")) == 1


def test_who_ends_such_a_call_before_that_lets_its_slot_go(world: World):
    key = _taken(world)
    world.turn(completions=(Completion(key, "L1", b"r", OK, keeps_slot=True),))
    assert world.turn(hand_backs=(HandBack(key, "L1"),)).put_back == (False,)
    assert (world.state(key), world.in_flight()) == (State.DONE, 0)


def test_a_crash_alone_is_counted_by_a_turn_too(world: World):
    key = _taken(world)
    back = HandBack(key, "L1", why=PutBack.CRASHED, crashes_most=1)
    assert world.turn(hand_backs=(back,)).put_back == (True,)
    view = world.view(key)
    assert view
    assert view.ending == "poison"


def test_an_answered_request_that_was_lost_from_redis_is_not_known(world: World):
    publication = Publication(world.unknown(), REPLY_AT)
    assert world.turn(published=(publication,)).published == (False,)


def test_what_was_taken_may_not_be_withdrawn(world: World):
    key = _taken(world)
    world.turn(hand_backs=(HandBack(key, "L1", why=PutBack.UNSTARTED),))
    assert world.ledger.withdraw(world.epoch, [key]) == [False]


def test_ready_again_it_is_listed_with_its_turn_and_crashes(world: World):
    key = world.ready()
    world.plan(key)
    world.takes("L1", lease_ms=1)
    world.backend.advance(2)
    cursor = world.cursor()
    world.ledger.expire(world.epoch, key)
    (ready,) = world.ledger.snapshot(world.epoch).ready
    assert (ready.turn, ready.crashes, ready.not_before_ms) == (1, 1, 0)
    assert ready.payload_hash == hash_value(b'{"content":"hello"}')
    assert world.changes_since(cursor)[-1].ready == ready
