"""The reconciler: what got lost is found."""

from agentsched.ledger.values import EntryView, State
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.rules import Rules
from tests.support.requests import settings
from tests.unit.bridge.driver import SOURCE, Driver


def looked(driver, view):
    """Let time pass until the reconciler looks, and answer with `view`."""
    driver.tick(2_500)
    (inspect,) = driver.of(do.Inspect)
    views = (view,) * len(inspect.keys)
    return driver.feed(ev.Inspected(inspect.keys, views, driver.now_ms))


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
    theirs = EntryView(State.ANSWERED, 5_000, payload_hash="f" * 16)
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
    looked(driver, EntryView(State.ANSWERED, 100))
    assert driver.watermark() == 1


def test_a_lease_that_is_over_is_expired():
    (expire,) = looked(holding_one(), EntryView(State.RUNNING, 100, 0, "m"))
    assert isinstance(expire, do.Expire)


def test_a_lease_that_holds_is_left_alone():
    assert looked(holding_one(), EntryView(State.RUNNING, 99_999, 1, "m")) == []


def test_a_reply_that_was_never_published_is_sent():
    (send,) = looked(holding_one(), EntryView(State.DONE, 12_000))
    assert isinstance(send, do.SendStored)


def test_the_worker_is_given_its_time_to_publish():
    assert looked(holding_one(), EntryView(State.DONE, 11_999)) == []


def test_an_entry_that_is_ready_again_can_be_withdrawn_again():
    driver = holding_one()
    looked(driver, EntryView(State.RUNNING, 0, 100, "m"))
    driver.feed(ev.Changed((), driver.now_ms))
    looked(driver, EntryView(State.READY, 100))
    assert driver.state.in_flight == 0


def test_a_ready_request_whose_models_have_gone_is_answered():
    driver = holding_one()
    other = {"name": "other", "endpoints": [{"base_url": "http://127.0.0.1:1/v1"}]}
    driver.feed(ev.RulesChanged(Rules(settings(models=[other]))))
    (answer,) = looked(driver, EntryView(State.READY, 100))
    assert isinstance(answer, do.EndRequest)
    assert b"MODEL_REMOVED" in answer.value


def test_a_request_that_runs_is_left_to_its_worker_when_its_model_has_gone():
    driver = holding_one()
    other = {"name": "other", "endpoints": [{"base_url": "http://127.0.0.1:1/v1"}]}
    driver.feed(ev.RulesChanged(Rules(settings(models=[other]))))
    assert looked(driver, EntryView(State.RUNNING, 100, 9_000, "m")) == []


def running(number):
    """A bridge with so many requests that run."""
    driver = Driver(limits={"ready_max_entries": number})
    driver.own()
    driver.read(*range(number))
    while driver.of(do.Admit):
        driver.admitted(state=State.RUNNING)
    return driver


def test_what_runs_is_looked_at_soon_after_its_lease_may_have_ended():
    driver = running(1)
    driver.tick(1_000)
    assert len(driver.of(do.Inspect)) == 1


def test_a_dead_lease_is_seen_within_seconds_however_much_is_in_flight():
    driver = running(10_000)
    driver.tick(2_000)
    seen = [key for look in driver.of(do.Inspect) for key in look.keys]
    for _ in range(15):
        driver.tick(250)
        seen += [key for look in driver.of(do.Inspect) for key in look.keys]
    assert set(seen) == set(driver.state.by_key)
    assert len(seen) == len(set(seen))


def test_one_look_is_not_too_large():
    driver = running(10_000)
    driver.tick(2_000)
    assert [len(look.keys) for look in driver.of(do.Inspect)] == [500, 125]


def test_what_waits_in_the_ready_set_is_looked_at_in_turn():
    driver = Driver()
    driver.own()
    driver.read(*range(200))
    driver.admitted()
    looks = []
    for _ in range(8):
        driver.tick(2_500)
        looks += [key for look in driver.of(do.Inspect) for key in look.keys]
    assert [looks.count(key) for key in driver.state.by_key] == [5] * 200
