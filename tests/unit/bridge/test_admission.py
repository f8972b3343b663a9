"""Index and ready set: what is admitted, withdrawn, repeated."""

from collections import Counter
from dataclasses import replace

import pytest

from agentsched.ledger.values import (
    AdmitOutcome,
    Admitted,
    Change,
    ChangeKind,
    EntryView,
    ReadyEntry,
    Slot,
    State,
)
from agentsched.wire.codec import Identity, hash_value
from agentsched.wire.conflicts import read_conflict
from agentsched.wire.records import RecordAt
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.admission import FULL_RETRY_MS
from bridge.core.state import BridgeState
from bridge.core.step import has_more
from tests.unit.bridge.driver import PARTITION, SOURCE, Driver

SMALL = {"limits": {"ready_max_entries": 10}}


def classes(commands):
    return [a.facts.cls for command in commands for a in command.admissions]


def test_a_record_is_admitted_with_its_payload():
    driver = Driver()
    driver.own()
    driver.read(0, content="prompt")
    (admission,) = driver.admitted()
    assert b"prompt" in admission.payload


def test_no_more_than_the_share_is_admitted():
    driver = Driver(**SMALL)
    driver.own()
    driver.read(*range(25))
    assert len(driver.admitted()) == 10
    assert driver.of(do.Admit) == []


def test_two_bridges_have_half_of_the_ready_set_each():
    driver = Driver(**SMALL)
    driver.own()
    driver.feed(ev.PeersSeen(2, leading=False, live_slots={}, now_ms=driver.now_ms))
    driver.read(*range(25))
    assert len(driver.admitted()) == 5


def test_a_full_share_withdraws_its_worst_for_a_better_one():
    driver = Driver(**SMALL)
    driver.own()
    driver.read(*range(10), priority="low")
    driver.admitted()
    driver.read(10, priority="high")
    (withdraw,) = driver.of(do.Withdraw)
    assert driver.of(do.Admit) == []
    driver.feed(ev.WithdrawAnswered(withdraw.keys, (True,)))
    assert classes(driver.of(do.Admit)) == ["high"]


def test_what_could_not_be_withdrawn_counts_as_in_flight():
    driver = Driver(**SMALL)
    driver.own()
    driver.read(*range(10), priority="low")
    driver.admitted()
    driver.read(10, priority="high")
    (withdraw,) = driver.of(do.Withdraw)
    driver.feed(ev.WithdrawAnswered(withdraw.keys, (False,)))
    assert driver.state.in_flight == 1
    assert classes(driver.of(do.Admit)) == ["high"]


def test_what_could_not_be_withdrawn_is_not_asked_again():
    driver = Driver(**SMALL)
    driver.own()
    driver.read(*range(10), priority="low")
    driver.admitted()
    driver.read(10, priority="high")
    (refused,) = driver.of(do.Withdraw)
    driver.feed(ev.WithdrawAnswered(refused.keys, (False,)))
    entry = driver.state.by_key[refused.keys[0]]
    back = ReadyEntry(entry.admission.facts, turn=1)
    change = Change(ChangeKind.READY, "1-0", entry.key, ready=back)
    driver.feed(ev.Changed((change,), driver.now_ms))
    (withdraw,) = driver.of(do.Withdraw)  # of the eleven that are in now
    assert entry.admission.facts.offset == 9  # the worst of all
    assert entry.key not in withdraw.keys


def test_a_withdrawn_request_is_admitted_again_when_there_is_room():
    driver = Driver(**SMALL)
    driver.own()
    driver.read(*range(10), priority="low")
    driver.admitted()
    driver.read(10, priority="high")
    (withdraw,) = driver.of(do.Withdraw)
    driver.feed(ev.WithdrawAnswered(withdraw.keys, (True,)))
    driver.admitted()
    driver.feed(ev.OffsetSettled(SOURCE, 0))
    assert classes(driver.of(do.Admit)) == ["low"]


def test_a_full_ready_set_is_tried_again_later():
    driver = Driver()
    driver.own()
    driver.read(0)
    driver.admitted(AdmitOutcome.FULL, state=None)
    assert driver.tick(100) == [] or not driver.of(do.Admit)
    driver.tick(200)
    assert len(driver.of(do.Admit)) == 1


def test_a_full_ready_set_is_asked_for_no_other_batch_before_the_next_tick():
    """Where a batch takes as long as the pause, the answers would follow without end."""
    driver = Driver()
    driver.own()
    driver.read(0)
    driver.admitted(AdmitOutcome.FULL, state=None)
    driver.now_ms += 10 * FULL_RETRY_MS
    driver.read(1, priority="high")
    assert driver.of(do.Admit) == []
    driver.tick(1)
    assert len(driver.of(do.Admit)) == 1


def test_a_conflict_becomes_a_dead_letter_and_its_sender_is_told():
    driver = Driver()
    driver.own()
    driver.read(0)
    (refused,) = driver.admitted(AdmitOutcome.CONFLICT, state=None)
    (deliver,) = driver.of(do.PublishRefusal)
    assert deliver.record.topic == "medium_priority.dead_letter"
    assert deliver.record.headers["reason"] == "CONFLICT"
    told = read_conflict(deliver.conflict.headers)
    assert told.identity == Identity(
        refused.facts.agent_id, refused.facts.correlation_id
    )
    assert told.payload_hash == hash_value(refused.payload)
    assert deliver.conflict.topic == "results"
    driver.feed(ev.OffsetSettled(SOURCE, 0))
    assert driver.watermark() == 1


def test_a_request_that_was_answered_before_gets_its_reply_again():
    driver = Driver()
    driver.own()
    driver.read(0)
    at = RecordAt("results", 0, 5)
    driver.admitted(AdmitOutcome.REPEATED, State.ANSWERED, at)
    (repeat,) = driver.of(do.SendRepeat)
    assert repeat.reply_at == at
    assert b"REPLY_EXPIRED" in repeat.expired.value
    driver.feed(ev.OffsetSettled(SOURCE, 0))
    assert driver.watermark() == 1


def test_a_replayed_record_that_was_answered_is_settled():
    driver = Driver()
    driver.own()
    driver.read(0)
    driver.admitted(AdmitOutcome.SAME, State.ANSWERED)
    assert driver.watermark() == 1


def test_two_records_of_one_identity_get_their_own_answers():
    driver = Driver()
    driver.own()
    driver.read(0, 1, correlation_id="same")
    (admit,) = driver.of(do.Admit)
    assert [a.facts.offset for a in admit.admissions] == [0, 1]
    driver.admitted(AdmitOutcome.ATTACHED, State.RUNNING)
    driver.feed(ev.OffsetSettled(SOURCE, 0))
    assert driver.watermark() == 1
    driver.feed(ev.OffsetSettled(SOURCE, 1))
    assert driver.watermark() == 2


def sent_again_when_the_reply_was_stored():
    driver = Driver()
    driver.own()
    driver.read(1, correlation_id="same")
    driver.admitted(AdmitOutcome.STORED, State.DONE)
    assert driver.of(do.Admit) == []
    return driver, next(iter(driver.state.by_key))


def test_who_sends_a_request_again_while_its_reply_goes_out_gets_it_after_that():
    driver, key = sent_again_when_the_reply_was_stored()
    change = Change(ChangeKind.SETTLED, key=key, source=SOURCE, offset=0)
    driver.feed(ev.Changed((change,), driver.now_ms))
    driver.admitted(AdmitOutcome.REPEATED, State.ANSWERED, RecordAt("results", 0, 7))
    (command,) = driver.of(do.SendRepeat)
    assert command.offset == 1


def test_the_reconciler_sees_that_the_reply_is_out_where_the_log_did_not_say_so():
    driver, key = sent_again_when_the_reply_was_stored()
    view = EntryView(State.DONE, 5_000)
    driver.feed(ev.Inspected((key,), (view,), driver.now_ms))
    assert driver.of(do.Admit) == []
    answered = replace(view, state=State.ANSWERED)
    driver.feed(ev.Inspected((key,), (answered,), driver.now_ms))
    driver.admitted(AdmitOutcome.REPEATED, State.ANSWERED, RecordAt("results", 0, 7))
    assert len(driver.of(do.SendRepeat)) == 1


def test_a_draining_bridge_admits_nothing():
    driver = Driver()
    driver.own()
    driver.feed(ev.DrainStarted())
    driver.read(0)
    assert driver.of(do.Admit) == []


def test_a_model_that_is_flooded_does_not_push_another_out():
    endpoint = {"base_url": "http://127.0.0.1:1/v1"}
    models = [{"name": name, "endpoints": [endpoint]} for name in ("m", "other")]
    driver = Driver(models=models, **SMALL)
    driver.own()
    driver.read(*range(20), model_id="m")
    driver.admitted()
    driver.read(20, model_id="other")
    assert [a.facts.models for c in driver.of(do.Admit) for a in c.admissions] == [
        ("other",)
    ]
    driver.tick(50)
    (withdraw,) = driver.of(do.Withdraw)
    assert len(withdraw.keys) == 5  # back to the half that is its own


def test_large_payloads_make_the_share_smaller():
    driver = Driver(limits={"ready_max_bytes": 1_048_576})
    driver.own()
    total = 0
    for offset in range(30):
        driver.read(offset, content="x" * 100_000)
        total += len(driver.admitted()) if driver.of(do.Admit) else 0
    assert total == 10


def test_a_batch_of_large_payloads_is_cut():
    driver = Driver()
    driver.feed(ev.PeersSeen(1, leading=False, live_slots={}, now_ms=0))
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 0))
    driver.read(*range(30), content="x" * 1_000_000)
    driver.load()
    assert len(driver.admitted()) == 5
    assert len(driver.of(do.Admit)) == 1


def test_one_command_admits_so_many_and_no_more():
    endpoint = {"base_url": "http://127.0.0.1:1/v1"}
    models = [{"name": name, "endpoints": [endpoint]} for name in ("m", "other")]
    driver = Driver(models=models)
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 0))
    driver.read(*range(150), model_id="m")
    driver.read(*range(150, 300), model_id="other")
    driver.load()
    assert len(driver.admitted()) == 200
    assert len(driver.admitted()) == 100


def test_one_command_admits_so_many_of_several_classes():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 0))
    driver.read(*range(150), priority="low")
    driver.read(*range(150, 300), priority="high")
    driver.load()
    (admit,) = driver.of(do.Admit)
    assert classes([admit]) == ["high"] * 150 + ["low"] * 50


def test_one_command_withdraws_so_many_and_no_more():
    driver = Driver(limits={"ready_max_entries": 600})
    driver.own()
    driver.read(*range(600), priority="low")
    for _ in range(3):
        driver.admitted()
    driver.read(*range(600, 1200), priority="high")
    assert [len(command.keys) for command in driver.of(do.Withdraw)] == [200]


def test_an_answer_for_a_partition_that_has_gone_is_ignored():
    driver = Driver()
    driver.own()
    driver.read(0)
    (admit,) = driver.of(do.Admit)
    place = ((admit.admissions[0].facts.source, 0),)
    driver.feed(ev.Revoked(SOURCE))
    answer = (Admitted(AdmitOutcome.CONFLICT),)
    assert driver.feed(ev.AdmitAnswered(place, answer, driver.now_ms)) == []


def test_a_late_answer_does_not_undo_what_happened_since():
    driver = Driver()
    driver.own()
    driver.read(0)
    (admit,) = driver.of(do.Admit)
    driver.admitted()
    place = ((admit.admissions[0].facts.source, 0),)
    answer = (Admitted(AdmitOutcome.FULL),)
    driver.feed(ev.AdmitAnswered(place, answer, driver.now_ms))
    driver.tick(1_000)
    assert driver.of(do.Admit) == []


def test_a_share_that_is_full_in_bytes_gives_low_up_for_high():
    driver = Driver(limits={"ready_max_bytes": 1_048_576})
    driver.own()
    for offset in range(10):
        driver.read(offset, priority="low", content="x" * 100_000)
        driver.admitted()
    driver.read(10, priority="high", content="x" * 150_000)
    (withdraw,) = driver.of(do.Withdraw)
    assert len(withdraw.keys) == 2
    driver.read(11, priority="high", content="x")
    assert driver.of(do.Withdraw) == []  # the room is on its way
    driver.feed(ev.WithdrawAnswered(withdraw.keys, (True, True)))
    assert classes(driver.of(do.Admit)) == ["high", "high"]


def test_large_and_small_requests_of_one_class_do_not_take_turns():
    driver = Driver(limits={"ready_max_bytes": 1_048_576})
    driver.own()
    driver.read(*range(300), content="x" * 2_000)
    while driver.of(do.Admit):
        driver.admitted()
    driver.read(*range(300, 320), content="x" * 1_000_000)
    assert driver.of(do.Withdraw) == []


def test_a_request_that_cannot_run_is_admitted_with_its_reply_and_that_is_sent():
    driver = Driver()
    driver.own()
    driver.read(0, ttl_s=0)
    (admission,) = driver.admitted(state=State.DONE)
    assert b"INVALID_REQUEST" in admission.reply
    assert driver.of(do.SendStored) == [do.SendStored(admission.facts.key)]
    assert driver.watermark() == 0


def test_a_refused_request_waits_for_no_room_in_the_ready_set():
    driver = Driver(limits={"ready_max_entries": 1, "ready_max_bytes": 1_048_576})
    driver.own()
    driver.read(0, content="x" * 1_048_000)
    driver.admitted()
    driver.read(1, 2, 3, ttl_s=0)
    (admit,) = driver.of(do.Admit)
    assert [a.facts.offset for a in admit.admissions] == [1, 2, 3]


def test_refused_requests_take_no_share_of_the_ready_set_from_others():
    driver = Driver(limits={"ready_max_entries": 4})
    driver.own()
    driver.read(*range(10), ttl_s=0)
    driver.read(*range(10, 20))
    admitted = [a for c in driver.of(do.Admit) for a in c.admissions if not a.reply]
    assert len(admitted) == 4


def test_many_refused_requests_keep_nobody_waiting():
    driver = Driver()
    driver.own()
    driver.read(*range(600), ttl_s=0)
    driver.read(*range(600, 610))
    (admit,) = driver.of(do.Admit)
    assert [a.facts.offset for a in admit.admissions if not a.reply] == [
        *range(600, 610)
    ]
    assert has_more(driver.state)


def test_a_bad_request_does_not_answer_for_a_good_one_of_the_same_identity():
    driver = Driver()
    driver.own()
    driver.read(0, ttl_s=0)
    driver.admitted(AdmitOutcome.CONFLICT)
    (deliver,) = driver.of(do.PublishRefusal)
    assert deliver.record.headers["reason"] == "CONFLICT"


# -- capacity is used while there is a backlog ---------------------------------------------


def server(number, capacity):
    return {"base_url": f"http://127.0.0.1:{number}/v1", "capacity": capacity}


POOL = {"max_connections": 10_000}


def backlog(slots, bridges=1, **changes):
    """A bridge, one of some, with twice as many requests for each model as that has slots."""
    models = [
        {"name": name, "endpoints": [server(n + 1, capacity)]}
        for n, (name, capacity) in enumerate(slots.items())
    ]
    driver = Driver(models=models, connection_pool=POOL, **changes)
    driver.own()
    peers = ev.PeersSeen(bridges, leading=False, live_slots={}, now_ms=driver.now_ms)
    driver.feed(peers)
    names = [name for name, capacity in slots.items() for _ in range(2 * capacity)]
    for offset, name in enumerate(names):
        driver.read(offset, model_id=name)
        settle_admissions(driver)
    return driver


def settle_admissions(driver):
    while driver.of(do.Admit):
        driver.admitted()


def start_all(driver, slots):
    """Start what is READY while there are slots, again and again; returns free slots."""
    free, found = dict(slots), True
    while found:
        driver.tick(50)
        settle_admissions(driver)
        ready = [one for one in driver.state.all_admitted() if one.may_leave]
        found = [one for one in ready if free[one.traits.models[0]] > 0]
        for entry in found:
            model = entry.traits.models[0]
            if free[model] > 0:
                free[model] -= 1
                slot = Slot(entry.key, model, "e", "medium")
                driver.change(ChangeKind.TAKEN, "9-0", key=entry.key, slot=slot)
                settle_admissions(driver)
    return free


@pytest.mark.parametrize(
    ("slots", "bridges"),
    [
        ({f"small{n}": 4 for n in range(9)} | {"large": 264}, 1),
        ({"a": 20, "b": 50, "c": 200, "d": 30}, 1),
        ({"m": 300}, 5),
    ],
)
def test_all_capacity_is_used_while_there_is_a_backlog(slots, bridges):
    """What runs takes no room from what waits, and a large model has more than a small."""
    total = sum(slots.values())
    driver = backlog(slots, bridges, limits={"ready_max_entries": total})
    assert set(start_all(driver, slots).values()) == {0}


def test_a_large_model_has_more_of_the_ready_set_than_small_ones():
    slots = {f"small{n}": 4 for n in range(9)} | {"large": 264}
    driver = backlog(slots, limits={"ready_max_entries": 300})
    driver.tick(50)
    withdrawn = [key for each in driver.of(do.Withdraw) for key in each.keys]
    driver.feed(ev.WithdrawAnswered(tuple(withdrawn), (True,) * len(withdrawn)))
    settle_admissions(driver)
    ready = Counter(one.traits.models[0] for one in driver.state.all_admitted())
    assert ready["large"] >= 140


# -- what an event costs -------------------------------------------------------------------


def test_a_round_in_which_nothing_moved_looks_at_nothing(monkeypatch):
    """However full the share is in bytes: it was a scan and a sort at every event."""
    driver = Driver(limits={"ready_max_bytes": 1_048_576})
    driver.own()
    driver.read(*range(100), content="x" * 100_000)
    settle_admissions(driver)
    looked = []
    monkeypatch.setattr(BridgeState, "all_admitted", lambda _: looked.append(1) or ())
    assert driver.state.wants_room  # it is full, and something is kept out
    for queues in driver.state.waiting.values():
        for queue in queues.values():
            queue.best = lambda: looked.append(1)
    driver.feed(ev.OffsetSettled(SOURCE, 10_000))
    driver.tick(1)
    assert looked == []


def test_a_full_share_in_bytes_is_not_scanned_for_each_request_that_it_keeps_out(
    monkeypatch,
):
    driver = Driver(limits={"ready_max_bytes": 1_048_576})
    driver.own()
    driver.read(*range(300), priority="low", content="x" * 3_000)
    settle_admissions(driver)
    fail = "looked at all that is admitted"
    monkeypatch.setattr(BridgeState, "all_admitted", lambda _: pytest.fail(fail))
    for offset in range(300, 310):
        driver.read(offset, priority="high", content="x" * 60_000)
    assert driver.state.leaving_bytes > 0
