"""What `admit` and `withdraw` promise, on every adapter."""

from dataclasses import replace
from typing import Any

import pytest

from agentsched.ledger.values import Admission, AdmitOutcome, Admitted, Limits, State
from agentsched.wire.records import RecordAt
from tests.support.ledgers import REPLY_AT, SOURCE, World

OTHER = "low_priority:T3:4"


def test_a_new_request_is_ready(world: World):
    admission = world.admission()
    assert world.admit(admission) == [Admitted(AdmitOutcome.NEW, State.READY)]
    assert world.state(admission.facts.key) is State.READY


def test_a_replayed_record_changes_nothing(world: World):
    admission = world.admission()
    world.admit(admission)
    cursor = world.cursor()
    assert world.admit(admission) == [Admitted(AdmitOutcome.SAME, State.READY)]
    assert world.cursor() == cursor


@pytest.mark.parametrize("state", ["ready", "running", "done"])
def test_a_replayed_record_says_where_its_request_is(world: World, state: str):
    admission = world.admission()
    key = admission.facts.key
    world.admit(admission)
    if state != "ready":
        world.take(key)
    if state == "done":
        world.complete(key, "L1")
    assert world.admit(admission) == [Admitted(AdmitOutcome.SAME, State(state))]


def test_a_replay_after_the_answer_is_the_same_and_no_repetition(world: World):
    admission = world.admission()
    world.admit(admission)
    world.complete(admission.facts.key)
    world.publish(admission.facts.key)
    assert world.admit(admission) == [Admitted(AdmitOutcome.SAME, State.ANSWERED)]


def test_a_request_sent_twice_is_attached(world: World):
    key = world.running()
    again = world.admission(key=key)
    assert world.admit(again) == [Admitted(AdmitOutcome.ATTACHED, State.RUNNING)]


def test_a_request_sent_again_when_its_reply_is_stored_is_not_settled_by_it(
    world: World,
):
    """The reply may be in Kafka already, before the record that asks for it again."""
    key = world.running(offset=10)
    world.complete(key, "L1")
    again = world.admission(key=key, offset=12)
    assert world.admit(again) == [Admitted(AdmitOutcome.STORED, State.DONE)]
    world.publish(key)
    assert world.done_offsets() == {10}
    (answer,) = world.admit(again)
    assert answer.outcome is AdmitOutcome.REPEATED


def test_a_replay_of_an_attached_record_is_the_same(world: World):
    again = world.admission(key=world.ready())
    world.admit(again)
    assert world.admit(again) == [Admitted(AdmitOutcome.SAME, State.READY)]


def test_one_reply_settles_every_attached_offset(world: World):
    key = world.ready(offset=10)
    world.admit(world.admission(key=key, offset=12))
    world.admit(world.admission(key=key, offset=3, source=OTHER))
    world.complete(key)
    world.publish(key)
    assert world.done_offsets() == {10, 12}
    assert world.done_offsets(OTHER) == {3}


def test_a_request_sent_again_after_the_answer_learns_where_the_reply_is(world: World):
    key = world.answered()
    assert world.admit(world.admission(key=key)) == [
        Admitted(AdmitOutcome.REPEATED, State.ANSWERED, REPLY_AT)
    ]


def test_the_first_coordinates_of_a_reply_stay(world: World):
    key = world.answered()
    assert world.publish(key, RecordAt("results", 9, 999))
    assert world.admit(world.admission(key=key))[0].reply_at == REPLY_AT


@pytest.mark.parametrize("way", ["ready", "running", "done", "answered"])
def test_another_payload_under_the_same_identity_is_a_conflict(world: World, way: str):
    key = getattr(world, way)()
    state = world.state(key)
    other = world.admission(key=key, payload=b'{"content":"other"}')
    assert world.admit(other) == [Admitted(AdmitOutcome.CONFLICT)]
    assert world.state(key) is state


def test_a_conflict_leaves_the_first_payload(world: World):
    key = world.ready()
    world.admit(world.admission(key=key, payload=b'{"content":"other"}'))
    assert world.take(key).payload == b'{"content":"hello"}'


def test_the_ready_set_is_bounded(world: World):
    world.limit(ready_max_entries=2)
    answers = world.admit(*(world.admission() for _ in range(3)))
    assert [answer.outcome for answer in answers] == ["new", "new", "full"]


def test_a_refused_request_leaves_no_trace(world: World):
    world.limit(ready_max_entries=0)
    admission = world.admission()
    world.admit(admission)
    assert world.state(admission.facts.key) is None
    assert world.ledger.partition(world.epoch, SOURCE, 0, 100).live == {}


def test_a_running_request_does_not_count_in_the_ready_set(world: World):
    world.limit(ready_max_entries=1)
    world.running()
    assert world.admit(world.admission())[0].outcome is AdmitOutcome.NEW


def test_a_known_request_is_never_full(world: World):
    admission = world.admission()
    world.admit(admission)
    world.limit(ready_max_entries=1)
    assert world.admit(admission)[0].outcome is AdmitOutcome.SAME


def test_without_limits_the_default_bound_of_the_ready_set_holds(world: World):
    world.backend.lose()
    world.epoch = world.ledger.membership.beat().pulse.epoch
    bound = Limits(capacity={}).ready_max_entries
    answers = world.admit(*(world.admission() for _ in range(bound + 1)))
    assert [answer.outcome for answer in answers[-2:]] == ["new", "full"]


def test_one_batch_finds_duplicates_within_itself(world: World):
    first = world.admission()
    second = world.admission(key=first.facts.key)
    answers = world.admit(first, second, world.admission())
    assert [answer.outcome for answer in answers] == ["new", "attached", "new"]


def test_a_payload_and_facts_come_back_as_they_were(world: World):
    payload = bytes(range(256)) * 16
    facts = world.facts(
        agent_id="ägent\n1", correlation_id="lone \ud800 | %7C", models=("a|b", "c")
    )
    world.admit(Admission(facts, payload, "0" * 32))
    taken = world.take(facts.key)
    assert (taken.facts, taken.payload) == (facts, payload)


def test_a_withdrawn_request_is_forgotten_with_its_identity(world: World):
    admission = world.admission()
    world.admit(admission)
    assert world.ledger.withdraw(world.epoch, [admission.facts.key]) == [True]
    assert world.ledger.partition(world.epoch, SOURCE, 0, 100).live == {}
    assert world.admit(admission)[0].outcome is AdmitOutcome.NEW


def test_a_withdrawn_offset_is_not_done(world: World):
    world.ledger.withdraw(world.epoch, [world.ready()])
    assert world.done_offsets() == set()


def test_withdraw_says_of_each_key_whether_it_is_gone(world: World):
    keys = [world.ready(), world.running(), world.unknown(), world.done()]
    assert world.ledger.withdraw(world.epoch, keys) == [True, False, True, False]


def test_a_request_that_was_taken_stays_with_its_turn_and_its_crashes(
    world: World,
):
    key = world.returned()
    assert world.ledger.withdraw(world.epoch, [key]) == [False]
    assert world.view(key).turn == 1


def test_a_request_that_was_sent_again_is_not_withdrawn(world: World):
    """Another payload would get the identity, and its reply settle these records."""
    key = world.ready()
    assert world.admit(world.admission(key=key))[0].outcome is AdmitOutcome.ATTACHED
    assert world.ledger.withdraw(world.epoch, [key]) == [False]
    assert world.state(key) is State.READY


def test_a_repeated_withdraw_has_the_same_answer(world: World):
    key = world.ready()
    assert world.ledger.withdraw(world.epoch, [key]) == [True]
    assert world.ledger.withdraw(world.epoch, [key]) == [True]


def test_withdrawing_makes_room(world: World):
    world.limit(ready_max_entries=1)
    world.ledger.withdraw(world.epoch, [world.ready()])
    assert world.admit(world.admission())[0].outcome is AdmitOutcome.NEW


def test_an_answer_is_forgotten_after_the_horizon(world: World):
    world.limit(horizon_s=1)
    key = world.answered()
    assert world.state(key) is State.ANSWERED
    world.backend.advance(1200)  # a tombstone may stay for an eighth longer
    assert world.admit(world.admission(key=key))[0].outcome is AdmitOutcome.NEW


def _with_its_reply(world: World, **changed: Any) -> Admission:
    return replace(world.admission(**changed), reply=b"too late")


def test_a_request_that_comes_with_its_reply_is_done_and_never_ready(world: World):
    admission, cursor = _with_its_reply(world), world.cursor()
    assert world.admit(admission) == [Admitted(AdmitOutcome.NEW, State.DONE)]
    stored = world.ledger.reply(world.epoch, admission.facts.key)
    assert (stored.facts, stored.value) == (admission.facts, b"too late")
    assert stored.payload_hash == admission.payload_hash
    assert world.kinds_since(cursor) == []


def test_a_full_ready_set_has_room_for_it(world: World):
    world.limit(ready_max_entries=0)
    assert world.admit(_with_its_reply(world))[0].outcome is AdmitOutcome.NEW


def test_repeated_it_is_the_same(world: World):
    admission = _with_its_reply(world)
    world.admit(admission)
    assert world.admit(admission) == [Admitted(AdmitOutcome.SAME, State.DONE)]


def test_published_it_settles_its_offset(world: World):
    admission = _with_its_reply(world)
    world.admit(admission)
    assert world.publish(admission.facts.key)
    assert admission.facts.offset in world.done_offsets()


def test_a_request_that_runs_is_not_ended_by_it(world: World):
    key = world.ready()
    payload = world.take(key).payload
    again = world.admit(_with_its_reply(world, key=key, payload=payload))
    assert again == [Admitted(AdmitOutcome.ATTACHED, State.RUNNING)]
    assert world.ledger.reply(world.epoch, key) is None
