"""The reconciler: what got lost is found."""

from agentsched.ledger.values import EntryView, State
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.reconciler import backoff_ms
from bridge.core.rules import Rules
from tests.support.requests import settings
from tests.unit.bridge.driver import SOURCE, Driver


def looked(driver, view, doorbells=None):
    """Let time pass until the reconciler looks, and answer with `view`."""
    driver.tick(2_500)
    (inspect,) = driver.of(do.Inspect)
    return driver.feed(
        ev.Inspected(
            inspect.keys, (view,) * len(inspect.keys), doorbells or {}, driver.now_ms
        )
    )


def holding_one(live=1):
    driver = Driver()
    driver.own()
    driver.feed(
        ev.PeersSeen(1, leading=False, live_slots={"m": live}, now_ms=driver.now_ms)
    )
    driver.read(0)
    driver.admitted()
    return driver


def test_a_fresh_entry_is_left_alone():
    driver = holding_one()
    driver.tick(1_000)
    assert driver.of(do.Inspect) == []


def test_the_entry_of_another_payload_does_not_settle_a_record():
    """Redis was put back unseen, and another payload took the identity."""
    driver = holding_one()
    theirs = EntryView(State.ANSWERED, 0, 5_000, payload_hash="f" * 16)
    assert looked(driver, theirs) == []
    driver.look_up()
    assert len(driver.of(do.Admit)) == 1


def test_an_entry_that_the_ledger_forgot_is_looked_up_and_admitted_again():
    driver = holding_one()
    assert looked(driver, None) == []
    driver.look_up()
    assert len(driver.of(do.Admit)) == 1


def test_an_entry_that_the_ledger_forgot_and_kafka_answered_is_settled():
    driver = holding_one()
    looked(driver, None)
    assert driver.look_up(0) == [do.RestoreDone(SOURCE, (range(1),))]
    assert driver.watermark() == 1


def test_an_answer_that_was_missed_moves_the_watermark():
    driver = holding_one()
    looked(driver, EntryView(State.ANSWERED, 1, 100))
    assert driver.watermark() == 1


def test_a_lost_doorbell_is_rung_again():
    driver = holding_one()
    (again,) = looked(driver, EntryView(State.RUNG, 3, 5_000, model="m"))
    assert isinstance(again, do.RingAgain)
    assert (again.ring, again.model) == (3, "m")


def test_a_doorbell_is_given_time():
    assert looked(holding_one(), EntryView(State.RUNG, 1, 4_999, model="m")) == []


def test_the_pauses_between_rings_grow():
    driver = holding_one()
    looked(driver, EntryView(State.RUNG, 1, 5_000, model="m"))
    assert looked(driver, EntryView(State.RUNG, 2, 9_999, model="m")) == []
    assert len(looked(driver, EntryView(State.RUNG, 2, 10_000, model="m"))) == 1


def test_the_pauses_end_at_a_minute():
    driver = holding_one()
    for ring in range(8):
        looked(driver, EntryView(State.RUNG, ring, 60_000, model="m"))
    assert len(looked(driver, EntryView(State.RUNG, 9, 60_000, model="m"))) == 1


def test_a_doorbell_that_lies_in_the_queue_is_not_rung_again():
    view = EntryView(State.RUNG, 1, 60_000, model="m")
    assert looked(holding_one(), view, doorbells={"m": 1}) == []


def test_a_reservation_that_no_worker_can_claim_is_given_back():
    driver = holding_one(live=0)
    (back,) = looked(driver, EntryView(State.RUNG, 2, 5_000, model="m"))
    assert back == do.Unreserve(driver.state.partitions.popitem()[1].entries[0].key, 2)


def test_a_lease_that_is_over_is_expired():
    (expire,) = looked(holding_one(), EntryView(State.RUNNING, 1, 100, 0, "m"))
    assert isinstance(expire, do.Expire)


def test_a_lease_that_holds_is_left_alone():
    assert looked(holding_one(), EntryView(State.RUNNING, 1, 99_999, 1, "m")) == []


def test_a_reply_that_was_never_published_is_sent():
    (send,) = looked(holding_one(), EntryView(State.DONE, 1, 12_000))
    assert isinstance(send, do.SendStored)


def test_the_worker_is_given_its_time_to_publish():
    assert looked(holding_one(), EntryView(State.DONE, 1, 11_999)) == []


def test_an_entry_that_is_ready_again_can_be_withdrawn_again():
    driver = holding_one()
    looked(driver, EntryView(State.RUNNING, 1, 0, 100, "m"))
    driver.feed(ev.Changed((), driver.now_ms))
    looked(driver, EntryView(State.READY, 1, 100))
    assert driver.state.in_flight == 0


def test_a_ready_request_whose_models_have_gone_is_answered():
    driver = holding_one()
    other = {"name": "other", "endpoints": [{"base_url": "http://127.0.0.1:1/v1"}]}
    driver.feed(ev.RulesChanged(Rules(settings(models=[other]))))
    (answer,) = looked(driver, EntryView(State.READY, 0, 100))
    assert isinstance(answer, do.EndRequest)
    assert b"MODEL_REMOVED" in answer.value


def test_a_request_that_runs_is_left_to_its_worker_when_its_model_has_gone():
    driver = holding_one()
    other = {"name": "other", "endpoints": [{"base_url": "http://127.0.0.1:1/v1"}]}
    driver.feed(ev.RulesChanged(Rules(settings(models=[other]))))
    assert looked(driver, EntryView(State.RUNNING, 1, 100, 9_000, "m")) == []


def test_the_pause_is_bounded_however_often_was_rung():
    assert backoff_ms(Driver().state, 100_000) == 60_000
