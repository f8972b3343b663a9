"""What is overdue or cancelled is answered, wherever it waits, and only that."""

import json

import pytest

from agentsched.ledger.values import (
    AdmitOutcome,
    Change,
    ChangeKind,
    Ending,
    EntryView,
    State,
)
from agentsched.wire.codec import Identity
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.deadline import RECHECK_MS
from bridge.core.termination import WORKER_FIRST_MS, ending_of
from tests.support.requests import record
from tests.unit.bridge.driver import PARTITION, SOURCE, Driver

TTL_S = 10
AFTER_MS = TTL_S * 1000


def code_of(reply):
    return json.loads(reply)["error"]["code"]


def deadline_ms(driver):
    (entry,) = driver.state.partitions["medium_priority:t1:0"].entries.values()
    return entry.admission.facts.deadline_ms


def until_the_deadline(driver):
    """Milliseconds from now to just after the deadline of the one request."""
    return deadline_ms(driver) - driver.now_ms + 1


@pytest.fixture
def waiting():
    """One request that is in Kafka only: the ready set has no room."""
    driver = Driver()
    driver.own()
    driver.read(0, ttl_s=TTL_S)
    driver.admitted(AdmitOutcome.FULL, state=None)
    return driver


@pytest.fixture
def ready():
    driver = Driver()
    driver.own()
    driver.read(0, ttl_s=TTL_S)
    driver.admitted()
    return driver


def test_what_waits_in_kafka_is_admitted_with_its_answer(waiting):
    waiting.tick(until_the_deadline(waiting))
    (admit,) = waiting.of(do.Admit)
    assert code_of(admit.admissions[0].reply) == "DEADLINE_EXCEEDED"


def test_before_its_deadline_it_is_admitted_to_run(waiting):
    waiting.tick(until_the_deadline(waiting) - 2)
    (admit,) = waiting.of(do.Admit)
    assert admit.admissions[0].reply == b""


def test_the_answer_is_sent_at_once(waiting):
    waiting.tick(until_the_deadline(waiting))
    admit = waiting.admitted(AdmitOutcome.NEW, State.DONE)
    assert waiting.of(do.SendStored) == [do.SendStored(admit[0].facts.key)]


def test_it_is_tried_again_when_the_ledger_did_not_answer(waiting):
    waiting.tick(until_the_deadline(waiting))
    waiting.admitted(AdmitOutcome.FULL, state=None)
    waiting.tick(RECHECK_MS)
    assert len(waiting.of(do.Admit)) == 1


def test_a_partition_that_is_not_loaded_is_not_answered_for():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 1))
    driver.read(0, ttl_s=TTL_S)
    driver.tick(until_the_deadline(driver))
    assert driver.of(do.Admit) == []


def test_what_is_ready_is_looked_at_once_its_deadline_has_passed(ready):
    ready.tick(until_the_deadline(ready))
    keys = [key for look in ready.of(do.Inspect) for key in look.keys]
    assert keys


def test_what_is_overdue_is_not_looked_at_by_the_reconciler_too(ready):
    ready.tick(until_the_deadline(ready))
    for _ in range(5):
        assert len(ready.of(do.Inspect)) == 1
        ready.tick(RECHECK_MS)


def test_deadlines_run_on_the_ledgers_clock(waiting):
    late_ms = 3_600_000
    waiting.feed(
        ev.PeersSeen(
            1,
            leading=False,
            live_slots={},
            now_ms=waiting.now_ms,
            ledger_ahead_ms=-late_ms,
        )
    )
    waiting.tick(until_the_deadline(waiting))
    assert [a.reply for admit in waiting.of(do.Admit) for a in admit.admissions] == [
        b""
    ]


@pytest.mark.parametrize("state", [State.READY])
def test_what_waits_in_the_ledger_ends_at_its_deadline(state):
    assert ending_of(EntryView(state, 0, overdue_ms=0)) is None
    assert ending_of(EntryView(state, 0, overdue_ms=1)).code == "DEADLINE_EXCEEDED"


def test_a_worker_may_end_its_own_call_first():
    late = EntryView(State.RUNNING, 0, 9_000, overdue_ms=WORKER_FIRST_MS)
    assert ending_of(late) is None
    later = EntryView(State.RUNNING, 0, 9_000, overdue_ms=WORKER_FIRST_MS + 1)
    assert ending_of(later).code == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("state", [State.DONE, State.ANSWERED])
def test_what_has_its_reply_keeps_it(state):
    assert ending_of(EntryView(state, 0, overdue_ms=99_999)) is None


def test_an_overdue_entry_that_was_started_is_answered(ready):
    (request,) = ready.state.by_key
    view = EntryView(State.READY, 60_000, overdue_ms=1)
    ready.feed(ev.Inspected((request,), (view,), ready.now_ms))
    (answer,) = ready.said
    assert code_of(answer.value) == "DEADLINE_EXCEEDED"


def test_overdue_work_does_not_keep_the_reconciler_from_looking():
    """It alone finds what a killed worker held."""
    driver = Driver()
    driver.own()
    driver.read(0, ttl_s=3_600)
    driver.admitted()
    driver.read(*range(1, 40), ttl_s=1)
    driver.admitted()
    (lasting,) = [k for k, e in driver.state.by_key.items() if e.offset == 0]
    looked_at = set()
    for _ in range(60):
        driver.tick(RECHECK_MS // 10)
        for look in driver.of(do.Inspect):
            looked_at.update(look.keys)
    assert lasting in looked_at


@pytest.mark.parametrize("state", [State.READY, State.RUNNING])
def test_what_is_cancelled_ends_at_once(state):
    assert ending_of(EntryView(state, 0, ending=Ending.CANCELLED)).code == "CANCELLED"


def heard_of_cancel(driver):
    (key,) = driver.state.by_key
    change = Change(ChangeKind.ENDING, at="5-0", key=key)
    driver.feed(ev.Changed((change,), driver.now_ms))
    return key


def test_a_cancelled_request_that_is_in_kafka_only_is_answered(waiting):
    heard_of_cancel(waiting)
    (admit,) = waiting.of(do.Admit)
    assert code_of(admit.admissions[0].reply) == "CANCELLED"


def test_a_cancelled_request_of_the_ledger_is_looked_at(ready):
    key = heard_of_cancel(ready)
    assert ready.said == [do.Inspect((key,))]


def test_a_cancel_of_somebody_elses_request_concerns_us_not(ready):
    change = Change(ChangeKind.ENDING, at="5-0", key="f" * 32)
    assert ready.feed(ev.Changed((change,), ready.now_ms)) == []


def test_a_request_that_was_cancelled_before_it_was_read_is_answered():
    driver = Driver()
    driver.own()
    driver.read(0)
    driver.admitted(AdmitOutcome.CANCELLED, state=None)
    (admit,) = driver.of(do.Admit)
    assert code_of(admit.admissions[0].reply) == "CANCELLED"


def test_a_cancel_record_marks_and_settles_its_own_offset():
    driver = Driver()
    driver.own()
    one = record(0, {"correlation_id": "c"}, headers={"kind": "cancel"})
    (command,) = driver.feed(ev.Read((one,), driver.now_ms))
    assert (command.key, command.offset) == (Identity("default", "c").key, 0)
    assert driver.watermark() == 0
    driver.feed(ev.OffsetSettled(command.source, command.offset))
    assert driver.watermark() == 1


def test_a_cancel_that_did_not_get_through_is_tried_again():
    driver = Driver()
    driver.own()
    one = record(0, {"correlation_id": "c"}, headers={"kind": "cancel"})
    (command,) = driver.feed(ev.Read((one,), driver.now_ms))
    driver.feed(ev.SettleFailed(command))
    driver.tick(1_000)
    assert driver.of(do.Cancel) == [command]


def test_poison_is_put_aside_before_it_is_answered(ready):
    (request,) = ready.state.by_key
    view = EntryView(State.READY, 0, ending=Ending.POISON, attempts=3)
    (bury,) = ready.feed(ev.Inspected((request,), (view,), ready.now_ms))
    assert isinstance(bury, do.BuryPoison)
    assert bury.dead_letter.topic == "medium_priority.dead_letter"
    assert bury.dead_letter.headers["reason"] == "POISON"
    assert code_of(bury.value) == "POISON"
    assert json.loads(bury.value)["attempts"] == 3


@pytest.mark.parametrize(
    "why", [{"ending": Ending.CANCELLED}, {"overdue_ms": WORKER_FIRST_MS + 1}]
)
def test_what_ends_after_a_start_says_how_often_it_was_started(ready, why):
    (request,) = ready.state.by_key
    view = EntryView(State.RUNNING, 0, lease_left_ms=1, attempts=2, **why)
    (answer,) = ready.feed(ev.Inspected((request,), (view,), ready.now_ms))
    assert json.loads(answer.value)["attempts"] == 2


def test_a_burst_that_expires_together_is_answered_at_ten_thousand_a_second():
    driver = Driver(limits={"ready_max_entries": 1})
    driver.own()
    for start in range(0, 5_000, 500):
        driver.read(*range(start, start + 500), ttl_s=TTL_S)
    driver.tick(AFTER_MS + 1)
    answered = {0}  # is being admitted
    for _ in range(10):
        for command in driver.of(do.Admit):
            answered |= {a.facts.offset for a in command.admissions if a.reply}
        driver.tick(50)
    assert len(answered) == 5_000


def test_a_burst_of_large_requests_is_cut_into_commands():
    driver = Driver(limits={"ready_max_entries": 1})
    driver.own()
    driver.read(*range(12), ttl_s=TTL_S, content="x" * 1_000_000)
    driver.tick(AFTER_MS + 1)
    sizes = [len(command.admissions) for command in driver.of(do.Admit)]
    assert max(sizes) <= 5
    assert sum(sizes) >= 11


def test_what_is_overdue_and_runs_keeps_nothing_else_from_being_looked_at():
    driver = Driver()
    driver.own()
    driver.read(0, ttl_s=TTL_S)
    driver.admitted(state=State.RUNNING)
    driver.tick(AFTER_MS)
    driver.read(1)
    driver.admitted(state=State.RUNNING)
    looked = []
    for _ in range(60):  # the overdue one is looked at each second for its deadline
        driver.tick(100)
        looked += [key for look in driver.of(do.Inspect) for key in look.keys]
    other = driver.state.partitions[SOURCE].entries[1].key
    assert looked.count(other) >= 4
