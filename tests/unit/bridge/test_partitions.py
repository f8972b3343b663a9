"""Partitions, records, watermarks."""

import pytest

from agentsched.ledger.values import Change, ChangeKind, PartitionView
from agentsched.wire.codec import Identity
from agentsched.wire.commit_state import CommitState
from agentsched.wire.epoch import NO_EPOCH
from agentsched.wire.records import Partition
from bridge.core import commands as do
from bridge.core import events as ev
from tests.support.requests import record
from tests.unit.bridge.driver import PARTITION, SOURCE, Driver


def settled(offset):
    return Change(ChangeKind.SETTLED, source=SOURCE, offset=offset)


def test_a_new_partition_is_looked_up_before_anything_is_admitted():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 5))
    assert driver.of(do.LoadPartition) == [do.LoadPartition(SOURCE, 0, 5)]
    driver.read(0)
    assert driver.of(do.Admit) == []


def test_what_was_answered_before_is_not_admitted_and_does_not_hold_the_watermark():
    driver = Driver()
    driver.own(done={0, 2})
    driver.read(0, 1, 2)
    assert [a.facts.offset for a in driver.admitted()] == [1]
    driver.feed(ev.Changed((settled(1),), driver.now_ms))
    assert driver.watermark() == 3


def test_answers_that_are_learned_after_the_records_were_read_count_as_well():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 5))
    driver.read(0, 1)
    driver.own(done={0})
    # assigned anew: the records come again
    driver.read(0, 1)
    assert [a.facts.offset for a in driver.admitted()] == [1]


def test_a_dead_letter_settles_its_offset_only_when_it_was_delivered():
    driver = Driver()
    driver.own()
    bad = record(0, b"not json")
    driver.feed(ev.Read((bad,), driver.now_ms))
    assert [c.record.headers["reason"] for c in driver.of(do.PublishRefusal)] == [
        "MALFORMED"
    ]
    assert driver.watermark() == 0
    driver.feed(ev.OffsetSettled(SOURCE, 0))
    assert driver.watermark() == 1


def test_a_dead_letter_that_was_not_delivered_is_sent_again():
    driver = Driver()
    driver.own()
    driver.feed(ev.Read((record(0, b"not json"),), driver.now_ms))
    (deliver,) = driver.of(do.PublishRefusal)
    driver.tick()
    assert driver.feed(ev.SettleFailed(deliver)) == []
    driver.tick(1_000)
    assert driver.of(do.PublishRefusal) == [deliver]
    driver.tick(1_000)
    assert driver.of(do.PublishRefusal) == []


def test_a_bad_record_does_not_hold_up_the_next():
    driver = Driver()
    driver.own()
    driver.feed(ev.Read((record(0, b"not json"), record(1)), driver.now_ms))
    assert [a.facts.offset for a in driver.admitted()] == [1]


def test_a_revoked_partition_is_forgotten():
    driver = Driver()
    driver.own()
    driver.read(0)
    driver.admitted()
    driver.feed(ev.Revoked(SOURCE))
    assert (driver.state.partitions, driver.state.by_key) == ({}, {})
    driver.tick(600)
    assert driver.of(do.Commit) == []


def test_a_partition_over_its_share_is_paused_and_reads_on_when_it_has_drained():
    driver = Driver(limits={"index_max_records": 10})
    driver.own()
    driver.read(*range(10))
    assert driver.of(do.Pause) == [do.Pause((PARTITION,))]
    driver.admitted()
    for offset in range(2):
        driver.feed(ev.Changed((settled(offset),), driver.now_ms))
    driver.tick(1_000)
    assert driver.of(do.Resume) == []  # hysteresis: 8 of 10 is not enough
    driver.feed(ev.Changed((settled(2),), driver.now_ms))
    driver.tick(1_000)
    assert driver.of(do.Resume) == [do.Resume((PARTITION,))]


def test_a_paused_partition_is_not_paused_again():
    driver = Driver(limits={"index_max_records": 10})
    driver.own()
    driver.read(*range(12))
    assert len(driver.of(do.Pause)) == 1
    driver.admitted()
    driver.tick(1_000)
    assert driver.of(do.Pause) == []


def test_a_full_index_of_bytes_pauses_too():
    driver = Driver(limits={"index_max_bytes": 1_048_576})
    driver.own()
    driver.read(0, 1, content="x" * 600_000)
    assert driver.of(do.Pause) == [do.Pause((PARTITION,))]


def test_a_partition_is_paused_before_its_share_is_passed():
    bound_bytes = 1_048_576
    driver = Driver(limits={"index_max_bytes": bound_bytes})
    driver.own()
    for offset in range(100):
        driver.read(offset, content="x" * 20_000)
        if driver.of(do.Pause):
            break
    taken_bytes = driver.state.partitions[SOURCE].size_bytes
    assert 0.9 * bound_bytes < taken_bytes < bound_bytes


def test_what_was_read_beyond_the_share_is_indexed_all_the_same():
    driver = Driver(limits={"index_max_records": 10})
    driver.own()
    driver.read(*range(30))
    assert len(driver.state.partitions[SOURCE].entries) == 30


def test_a_partition_is_not_paused_twice_in_a_second():
    driver = Driver(limits={"index_max_records": 10})
    driver.own()
    driver.tick()
    driver.read(*range(10))
    for offset in range(9):
        driver.feed(ev.Changed((settled(offset),), driver.now_ms))
    driver.tick(900)
    assert driver.of(do.Resume) == []
    driver.tick(100)
    assert driver.of(do.Resume) == [do.Resume((PARTITION,))]
    driver.read(*range(10, 20))
    assert driver.of(do.Pause) == [do.Pause((PARTITION,))]


def test_dead_letters_that_cannot_be_sent_take_their_share():
    driver = Driver(limits={"index_max_records": 10})
    driver.own()
    bad = tuple(record(offset, b"no JSON") for offset in range(10))
    driver.feed(ev.Read(bad, driver.now_ms))
    assert driver.of(do.Pause) == [do.Pause((PARTITION,))]
    for offset in range(10):
        driver.feed(ev.OffsetSettled(SOURCE, offset))
    driver.tick(1_000)
    assert driver.of(do.Resume) == [do.Resume((PARTITION,))]


def test_a_partition_that_keeps_to_its_share_reads_on_beside_one_that_does_not():
    other = "other:t2:0"
    driver = Driver(limits={"index_max_records": 20})
    driver.own()
    driver.own(source=other, partition=Partition("other", 0))
    driver.read(*range(10))
    assert driver.of(do.Pause) == [do.Pause((PARTITION,))]


def test_what_was_committed_before_is_open_no_more():
    """Not what Kafka has deleted above it: that may be answered yet."""
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 10, 12, committed=3))
    assert driver.of(do.LoadPartition) == [
        do.LoadPartition(SOURCE, 10, 12, (range(3),))
    ]
    driver.feed(ev.Assigned(PARTITION, SOURCE, 2, 2, committed=3))
    assert driver.of(do.LoadPartition)[-1] == do.LoadPartition(
        SOURCE, 2, 2, (range(2),)
    )


def test_what_was_noted_as_answered_is_open_no_more():
    note = CommitState(NO_EPOCH, done=(range(4, 6), range(8, 9)))
    driver = Driver()
    driver.feed(
        ev.Assigned(PARTITION, SOURCE, 3, 12, committed=3, inherited_state=note)
    )
    known = (range(3), range(4, 6), range(8, 9))
    assert driver.of(do.LoadPartition) == [do.LoadPartition(SOURCE, 3, 12, known)]


def test_an_end_that_kafka_lost_is_not_answered_by_what_stood_there():
    note = CommitState(NO_EPOCH, done=(range(13, 15),))
    driver = Driver()
    driver.feed(
        ev.Assigned(PARTITION, SOURCE, 12, 12, committed=13, inherited_state=note)
    )
    driver.load()
    driver.read(12, 13)
    assert [a.facts.offset for a in driver.admitted()] == [12, 13]


def test_a_partition_that_is_not_loaded_is_asked_for_again():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 3, 9, committed=3))
    driver.tick(1_000)
    assert driver.of(do.LoadPartition) == [do.LoadPartition(SOURCE, 3, 9, (range(3),))]
    driver.feed(ev.PartitionLoaded(SOURCE, PartitionView((), {})))
    driver.tick(1_000)
    assert driver.of(do.LoadPartition) == []


def test_a_second_look_at_a_partition_changes_nothing():
    driver = Driver()
    driver.own()
    driver.read(0)
    driver.admitted()
    driver.feed(ev.PartitionLoaded(SOURCE, PartitionView((range(1),), {})))
    assert driver.watermark() == 0


def test_what_the_ledger_knows_of_a_forgotten_partition_is_ignored():
    driver = Driver()
    driver.feed(ev.PartitionLoaded(SOURCE, PartitionView((range(1),), {})))
    assert driver.state.partitions == {}


def test_a_draining_bridge_does_not_send_again_what_kafka_did_not_take():
    driver = Driver()
    driver.own()
    driver.feed(ev.Read((record(0, b"not json"),), driver.now_ms))
    (deliver,) = driver.of(do.PublishRefusal)
    driver.feed(ev.DrainStarted())
    driver.feed(ev.SettleFailed(deliver))
    driver.tick(1_000)
    assert driver.of(do.PublishRefusal) == []


def test_what_an_earlier_owner_admitted_is_not_admitted_again():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 2))
    driver.read(0, 1)
    key = driver.state.partitions[SOURCE].entries[0].key
    driver.load(live={0: key})
    assert [a.facts.offset for a in driver.admitted()] == [1]


def test_a_ready_entry_that_was_taken_is_in_flight_and_back_when_it_returns():
    driver = Driver()
    driver.own()
    driver.read(0)
    (admission,) = driver.admitted()
    key = admission.facts.key
    driver.feed(ev.Changed((Change(ChangeKind.TAKEN, "1-0", key),), driver.now_ms))
    assert driver.state.in_flight == 1
    driver.feed(ev.Changed((Change(ChangeKind.READY, "1-1", key),), driver.now_ms))
    assert driver.state.in_flight == 0


def test_a_change_of_something_that_waits_here_does_not_admit_it():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 1))
    driver.read(0)
    key = driver.state.partitions[SOURCE].entries[0].key
    driver.feed(ev.Changed((Change(ChangeKind.TAKEN, "1-0", key),), driver.now_ms))
    assert driver.state.in_flight == 0


def test_a_dead_letter_waits_until_it_is_known_whether_it_was_sent_before():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 2))
    records = (record(0, b"not json"), record(1, b"not json"))
    driver.feed(ev.Read(records, driver.now_ms))
    assert driver.of(do.PublishRefusal) == []
    driver.load(done=[0])
    assert [command.offset for command in driver.of(do.PublishRefusal)] == [1]


def test_a_dead_letter_of_a_partition_that_has_gone_is_not_sent_again():
    driver = Driver()
    driver.own()
    driver.feed(ev.Read((record(0, b"not json"),), driver.now_ms))
    (deliver,) = driver.of(do.PublishRefusal)
    driver.feed(ev.Revoked(SOURCE))
    driver.feed(ev.SettleFailed(deliver))
    driver.tick(1_000)
    assert driver.of(do.PublishRefusal) == []


def test_a_request_that_runs_already_is_not_refused_when_its_model_has_gone():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 1))
    gone = record(0, {"correlation_id": "c", "model_id": "gone"})
    key = Identity("default", "c").key
    driver.feed(ev.Read((gone,), driver.now_ms))
    driver.load(live={0: key})
    assert driver.of(do.PublishRefusal) == []
    assert driver.state.in_flight == 1


def alarms(driver):
    return [(c.alarm, c.records, c.start) for c in driver.of(do.RaiseAlarm)]


def test_records_that_kafka_deleted_unanswered_are_an_alarm():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 9, 12, committed=5))
    assert alarms(driver) == [(do.Alarm.RECORDS_DELETED, 4, 9)]
    assert driver.state.alarms == {(do.Alarm.RECORDS_DELETED, PARTITION): 1}


def test_deleted_records_that_were_answered_are_none():
    note = CommitState(NO_EPOCH, done=(range(5, 6), range(7, 10)))
    driver = Driver()
    driver.feed(
        ev.Assigned(PARTITION, SOURCE, 9, 12, committed=5, inherited_state=note)
    )
    assert alarms(driver) == [(do.Alarm.RECORDS_DELETED, 1, 9)]
    note = CommitState(NO_EPOCH, done=(range(5, 10),))
    driver.feed(
        ev.Assigned(PARTITION, SOURCE, 9, 12, committed=5, inherited_state=note)
    )
    assert alarms(driver) == []


def test_records_that_are_deleted_while_they_are_to_be_read_are_an_alarm():
    driver = Driver()
    driver.own()
    driver.read(0)
    driver.feed(ev.RecordsDeleted(PARTITION, 8))
    assert alarms(driver) == [(do.Alarm.RECORDS_DELETED, 7, 8)]


def test_a_partition_that_ends_below_what_was_committed_is_an_alarm():
    note = CommitState(NO_EPOCH, "t1")
    driver = Driver()
    driver.feed(
        ev.Assigned(PARTITION, SOURCE, 12, 12, committed=20, inherited_state=note)
    )
    assert alarms(driver) == [(do.Alarm.LOG_TRUNCATED, 8, 12)]


def test_an_offset_that_kafka_forgot_is_an_alarm_and_the_ledgers_counts():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 12))
    driver.read(0)
    driver.feed(ev.PartitionLoaded(SOURCE, driver.view(watermark=7)))
    assert alarms(driver) == [(do.Alarm.OFFSETS_EXPIRED, 7, 7)]
    driver.feed(ev.Committed(PARTITION, 7))
    driver.read(6, 7)
    assert [a.facts.offset for a in driver.admitted()] == [7]


def test_an_offset_that_kafka_forgot_is_an_alarm_before_the_ledger_was_told_of_it():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 12))
    driver.feed(ev.PartitionLoaded(SOURCE, driver.view(done=range(5))))
    assert alarms(driver) == [(do.Alarm.OFFSETS_EXPIRED, 5, 5)]


@pytest.mark.parametrize(
    ("watermark", "done"),
    [(7, range(9)), (0, range(9))],
    ids=["told a while ago", "never told"],
)
def test_what_was_answered_and_deleted_with_its_offset_is_not_missed(watermark, done):
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 9, 12))
    assert driver.of(do.LoadPartition) == [do.LoadPartition(SOURCE, 0, 12)]
    driver.feed(ev.PartitionLoaded(SOURCE, driver.view(done, watermark=watermark)))
    assert alarms(driver) == [(do.Alarm.OFFSETS_EXPIRED, 9, 9)]


def test_a_first_record_that_is_open_hides_no_forgotten_offset():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 12))
    driver.feed(ev.PartitionLoaded(SOURCE, driver.view(done=range(1, 9))))
    assert alarms(driver) == [(do.Alarm.OFFSETS_EXPIRED, 8, 0)]


def test_a_group_that_is_new_is_no_alarm():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 3, 12))
    driver.feed(ev.PartitionLoaded(SOURCE, driver.view()))
    assert alarms(driver) == []


def test_an_offset_that_kafka_forgot_with_its_records_is_an_alarm():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 9, 12))
    driver.feed(ev.PartitionLoaded(SOURCE, driver.view(watermark=7)))
    assert alarms(driver) == [
        (do.Alarm.OFFSETS_EXPIRED, 7, 9),
        (do.Alarm.RECORDS_DELETED, 2, 9),
    ]


def test_a_first_start_is_no_alarm():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 4, 12))
    driver.load()
    assert driver.state.alarms == {}


def test_an_operator_who_resets_the_offsets_gets_what_the_ledger_does_not_know():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 12, committed=0))
    driver.feed(ev.PartitionLoaded(SOURCE, driver.view(done=range(3), watermark=7)))
    assert alarms(driver) == []
    assert driver.watermark() == 3
