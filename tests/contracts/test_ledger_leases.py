"""What `renew`, `put_back`, `expire` and `complete` promise, on every adapter."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from agentsched.ledger.values import CallOutcome, State
from tests.support.ledgers import GPT, GPT_AT, LONG_MS, World


def _expire_and_reclaim(world: World) -> str:
    """RUNNING under L2, while the zombie of L1 still believes in its lease."""
    key = world.crashed("L1")
    assert world.ledger.expire(world.epoch, key)
    world.take(key, "L2")
    return key


def test_a_renewed_lease_lasts_longer(world: World):
    key = world.running(ms=20_000)
    assert world.ledger.renew(world.epoch, {key: "L1"}, LONG_MS) == {key: True}
    assert world.view(key).lease_left_ms > 20_000


def test_a_lease_that_is_over_is_not_renewed(world: World):
    key = world.crashed()
    assert world.ledger.renew(world.epoch, {key: "L1"}, LONG_MS) == {key: False}
    assert world.view(key).lease_left_ms <= 0


def test_renew_answers_for_every_lease(world: World):
    mine, others, unknown = world.running("L1"), world.running("L2"), world.unknown()
    leases = {mine: "L1", others: "L1", unknown: "L1"}
    assert world.ledger.renew(world.epoch, leases, LONG_MS) == {
        mine: True,
        others: False,
        unknown: False,
    }


def test_a_voided_lease_is_not_renewed(world: World):
    key = world.running()
    world.complete(key)
    assert world.ledger.renew(world.epoch, {key: "L1"}, LONG_MS) == {key: False}


def test_a_request_that_was_put_back_is_ready_and_its_slot_free(world: World):
    key = world.running()
    assert world.ledger.put_back(world.epoch, key, "L1")
    assert (world.state(key), world.in_flight()) == (State.READY, 0)


def test_a_repeated_put_back_has_the_same_answer_and_no_effect(world: World):
    key = world.running("L1")
    world.ledger.put_back(world.epoch, key, "L1")
    world.take(key, "L2")
    assert world.ledger.put_back(world.epoch, key, "L1")
    assert world.state(key) is State.RUNNING


def test_a_put_back_counts_the_start_and_keeps_the_request(world: World):
    key = world.running("L1")
    world.ledger.put_back(world.epoch, key, "L1")
    assert world.take(key, "L2").attempt == 2


def test_a_current_lease_does_not_expire(world: World):
    key = world.running()
    assert not world.ledger.expire(world.epoch, key)
    assert world.state(key) is State.RUNNING


def test_an_expired_lease_leads_back_to_ready(world: World):
    key = world.crashed()
    assert world.ledger.expire(world.epoch, key)
    assert world.state(key) is State.READY
    assert not world.ledger.expire(world.epoch, key)


def test_a_slot_is_free_at_the_end_of_its_lease_without_any_step(world: World):
    world.limit(capacity={(GPT, GPT_AT): 1})
    world.crashed()
    assert world.in_flight() == 0
    assert world.take(world.ready(), "L2")


def test_the_attempt_counts_the_starts_over_a_crash(world: World):
    key = world.crashed("L1")
    world.ledger.expire(world.epoch, key)
    assert world.take(key, "L2").attempt == 2


def test_a_holder_completes_even_past_its_lease(world: World):
    key = world.crashed("L1")
    assert world.complete(key, "L1")
    assert world.state(key) is State.DONE


def test_a_zombie_cannot_complete_after_expiry(world: World):
    key = world.crashed("L1")
    world.ledger.expire(world.epoch, key)
    assert not world.complete(key, "L1")
    assert world.state(key) is State.READY


def test_a_zombie_cannot_complete_what_another_runs(world: World):
    key = _expire_and_reclaim(world)
    assert not world.complete(key, "L1", b"zombie")
    assert (world.state(key), world.in_flight()) == (State.RUNNING, 1)
    assert world.complete(key, "L2", b"good")
    assert world.ledger.reply(world.epoch, key).value == b"good"


def test_a_zombie_cannot_put_back_what_another_runs(world: World):
    key = _expire_and_reclaim(world)
    assert not world.ledger.put_back(world.epoch, key, "L1")
    assert (world.state(key), world.in_flight()) == (State.RUNNING, 1)


def test_a_completed_reply_can_be_read_until_it_is_answered(world: World):
    key = world.running()
    assert world.ledger.reply(world.epoch, key) is None
    world.complete(key, "L1", b"\x00answer\xff")
    stored = world.ledger.reply(world.epoch, key)
    assert (stored.facts.key, stored.value) == (key, b"\x00answer\xff")
    assert stored.payload_hash == world.admission(key=key).payload_hash
    world.publish(key)
    assert world.ledger.reply(world.epoch, key) is None


def test_a_completed_request_frees_its_slot(world: World):
    world.done()
    assert world.in_flight() == 0


def test_a_stored_reply_never_changes(world: World):
    key = world.running()
    world.complete(key, "L1", b"first")
    assert not world.complete(key, None, b"second")
    assert world.complete(key, "L1", b"third")
    assert world.ledger.reply(world.epoch, key).value == b"first"


@pytest.mark.parametrize("way", ["done", "answered"])
def test_the_winner_may_repeat_its_complete(world: World, way: str):
    key = getattr(world, way)()
    assert world.complete(key, "L1")
    assert not world.complete(key, "other")


def test_a_complete_without_lease_is_repeated_by_its_bytes(world: World):
    key = world.ready()
    for _ in range(2):
        assert world.complete(key, None, b"overdue")
        assert not world.complete(key, None, b"cancelled")


def test_a_complete_without_lease_is_repeated_after_the_answer_too(world: World):
    key = world.ready()
    world.complete(key, None, b"overdue")
    world.publish(key)
    assert world.complete(key, None, b"overdue")
    assert not world.complete(key, None, b"cancelled")


def test_of_two_completes_one_wins(world: World):
    for _ in range(5):
        key = world.running("L1")
        with ThreadPoolExecutor(2) as threads:
            calls = [(key, "L1", b"answer"), (key, None, b"overdue")]
            won = list(threads.map(lambda it: world.complete(*it), calls))
        assert sorted(won) == [False, True]
        stored = world.ledger.reply(world.epoch, key).value
        assert stored == (b"answer" if won[0] else b"overdue")


def test_the_slot_of_a_voided_lease_stays_in_use_until_its_holder_calls(world: World):
    key = world.running("L1")
    world.complete(key)
    assert world.in_flight() == 1
    assert not world.complete(key, "L1", b"too late")
    assert world.in_flight() == 0


def test_a_confirmed_abort_frees_the_slot_of_a_voided_lease(world: World):
    key = world.running("L1")
    world.complete(key)
    assert not world.ledger.put_back(world.epoch, key, "L1")
    assert (world.state(key), world.in_flight()) == (State.DONE, 0)


def test_another_lease_does_not_free_a_voided_slot(world: World):
    key = world.running("L1")
    world.complete(key)
    world.complete(key, "L2")
    world.ledger.put_back(world.epoch, key, "L2")
    assert world.in_flight() == 1


def test_the_slot_of_a_voided_lease_is_free_when_its_time_is_over(world: World):
    key = world.running("L1", ms=300)
    world.complete(key)
    assert world.in_flight() == 1
    world.backend.advance(301)
    assert world.in_flight() == 0
    assert world.ledger.snapshot(world.epoch).slots == ()


def test_a_voided_slot_outlives_the_answer(world: World):
    key = world.running("L1")
    world.complete(key)
    world.publish(key)
    assert world.in_flight() == 1
    world.complete(key, "L1")
    assert world.in_flight() == 0


def test_calls_are_counted_once_with_their_time(world: World):
    key = world.running()
    world.complete(key, "L1", outcome=CallOutcome(ok=True, model_ms=40))
    world.complete(key, "L1", outcome=CallOutcome(ok=True, model_ms=40))
    failed = world.running()
    world.complete(failed, "L1", outcome=CallOutcome(ok=False, model_ms=2))
    totals = world.ledger.totals(world.epoch)[GPT]
    assert (totals.calls, totals.failed, totals.model_ms) == (2, 1, 42)


def test_a_reply_without_a_call_is_no_call(world: World):
    world.complete(world.running(), "L1", outcome=CallOutcome(ok=False, called=False))
    assert world.ledger.totals(world.epoch)[GPT].calls == 0


def test_the_call_of_a_voided_lease_is_counted_when_its_holder_ends_it(world: World):
    key = world.running("L1")
    world.complete(key, outcome=CallOutcome(ok=False, called=False))
    world.complete(key, "L1", outcome=CallOutcome(ok=True, model_ms=9))
    world.complete(key, "L1", outcome=CallOutcome(ok=True, model_ms=9))
    totals = world.ledger.totals(world.epoch)[GPT]
    assert (totals.calls, totals.model_ms) == (1, 9)


def test_an_unknown_request_cannot_be_published(world: World):
    assert not world.publish(world.unknown())
