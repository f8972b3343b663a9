"""Partitions, records, watermarks."""

from agentsched.codec import Identity
from agentsched.kafka_records import Partition
from agentsched.ledger.records import Change, ChangeKind, PartitionView
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.step import watermark
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


def test_an_answered_record_moves_the_watermark_and_is_committed():
    driver = Driver()
    driver.own()
    driver.tick()
    driver.read(0, 1)
    driver.admitted()
    driver.feed(ev.Changed((settled(0),), driver.now_ms))
    driver.tick(600)
    assert driver.of(do.Commit) == [do.Commit(PARTITION, 1)]


def test_nothing_is_committed_past_an_unanswered_record():
    driver = Driver()
    driver.own()
    driver.read(0, 1)
    driver.admitted()
    driver.feed(ev.Changed((settled(1),), driver.now_ms))
    driver.tick(600)
    assert driver.of(do.Commit) == []


def test_an_unmoved_watermark_is_not_committed_again():
    driver = Driver()
    driver.own()
    driver.read(0)
    driver.admitted()
    driver.feed(ev.Changed((settled(0),), driver.now_ms))
    driver.tick(600)
    driver.tick(600)
    assert driver.of(do.Commit) == []


def test_a_commit_that_nobody_acknowledged_is_sent_again():
    driver = Driver()
    driver.own()
    driver.read(0)
    driver.admitted()
    driver.feed(ev.Changed((settled(0),), driver.now_ms))
    driver.tick(600)
    driver.tick(5_000)
    assert driver.of(do.Commit) == [do.Commit(PARTITION, 1)]


def test_an_acknowledged_commit_is_not_sent_again():
    driver = Driver()
    driver.own()
    driver.read(0)
    driver.admitted()
    driver.feed(ev.Changed((settled(0),), driver.now_ms))
    driver.tick(600)
    driver.feed(ev.Committed(PARTITION, 1))
    driver.tick(5_000)
    assert driver.of(do.Commit) == []


def test_a_dead_letter_settles_its_offset_only_when_it_was_delivered():
    driver = Driver()
    driver.own()
    bad = record(0, b"not json")
    driver.feed(ev.Read((bad,), driver.now_ms))
    assert [c.record.headers["reason"] for c in driver.of(do.Deliver)] == ["MALFORMED"]
    assert driver.watermark() == 0
    driver.feed(ev.OffsetSettled(SOURCE, 0))
    assert driver.watermark() == 1


def test_a_dead_letter_that_was_not_delivered_is_sent_again():
    driver = Driver()
    driver.own()
    driver.feed(ev.Read((record(0, b"not json"),), driver.now_ms))
    (deliver,) = driver.of(do.Deliver)
    driver.tick()
    assert driver.feed(ev.SettleFailed(deliver)) == []
    driver.tick(1_000)
    assert driver.of(do.Deliver) == [deliver]
    driver.tick(1_000)
    assert driver.of(do.Deliver) == []


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


def test_bitmap_blocks_are_dropped_when_the_watermark_has_passed_them():
    driver = Driver()
    driver.own()
    assert driver.feed(ev.Committed(PARTITION, 65_535)) == []
    assert driver.feed(ev.Committed(PARTITION, 65_536)) == [
        do.ForgetDone(SOURCE, 65_536)
    ]
    assert driver.feed(ev.Committed(PARTITION, 65_537)) == []


def test_a_partition_over_its_share_is_paused_and_reads_on_when_it_has_drained():
    driver = Driver(limits={"index_max_records": 10})
    driver.own()
    driver.read(*range(10))
    driver.admitted()
    driver.tick(1_000)
    assert driver.of(do.Pause) == [do.Pause((PARTITION,))]
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
    driver.admitted()
    driver.tick(1_000)
    assert len(driver.of(do.Pause)) == 1
    driver.tick(1_000)
    assert driver.of(do.Pause) == []


def test_a_full_index_of_bytes_pauses_too():
    driver = Driver(limits={"index_max_bytes": 1_048_576})
    driver.own()
    driver.read(0, 1, content="x" * 600_000)
    driver.tick(1_000)
    assert driver.of(do.Pause) == [do.Pause((PARTITION,))]


def test_a_partition_that_keeps_to_its_share_reads_on_beside_one_that_does_not():
    other = "other:t2:0"
    driver = Driver(limits={"index_max_records": 20})
    driver.own()
    driver.own(source=other, partition=Partition("other", 0))
    driver.read(*range(10))
    driver.admitted()
    driver.tick(1_000)
    assert driver.of(do.Pause) == [do.Pause((PARTITION,))]


def test_a_partition_that_is_not_loaded_is_asked_for_again():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 3, 9))
    driver.tick(1_000)
    assert driver.of(do.LoadPartition) == [do.LoadPartition(SOURCE, 3, 9)]
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
    (deliver,) = driver.of(do.Deliver)
    driver.feed(ev.DrainStarted())
    driver.feed(ev.SettleFailed(deliver))
    driver.tick(1_000)
    assert driver.of(do.Deliver) == []


def test_a_draining_bridge_commits_what_is_answered():
    driver = Driver()
    driver.own()
    driver.read(0)
    driver.admitted()
    driver.feed(ev.OffsetSettled(SOURCE, 0))
    driver.feed(ev.DrainStarted())
    assert driver.of(do.Commit) == [do.Commit(PARTITION, 1)]


def test_what_an_earlier_owner_admitted_is_not_admitted_again():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 2))
    driver.read(0, 1)
    key = driver.state.partitions[SOURCE].entries[0].key
    driver.feed(ev.PartitionLoaded(SOURCE, PartitionView((), {0: key})))
    assert [a.facts.offset for a in driver.admitted()] == [1]


def test_the_watermark_of_a_partition_is_known_while_it_is_ours():
    driver = Driver()
    driver.own(start=4)
    assert watermark(driver.state, SOURCE) == 4
    driver.feed(ev.Revoked(SOURCE))
    assert watermark(driver.state, SOURCE) is None


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
    assert driver.of(do.Deliver) == []
    driver.feed(ev.PartitionLoaded(SOURCE, PartitionView((range(1),), {})))
    assert [command.offset for command in driver.of(do.Deliver)] == [1]


def test_a_dead_letter_of_a_partition_that_has_gone_is_not_sent_again():
    driver = Driver()
    driver.own()
    driver.feed(ev.Read((record(0, b"not json"),), driver.now_ms))
    (deliver,) = driver.of(do.Deliver)
    driver.feed(ev.Revoked(SOURCE))
    driver.feed(ev.SettleFailed(deliver))
    driver.tick(1_000)
    assert driver.of(do.Deliver) == []


def test_a_request_that_runs_already_is_not_refused_when_its_model_has_gone():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 1))
    gone = record(0, {"correlation_id": "c", "model_id": "gone"})
    key = Identity("default", "c").key
    driver.feed(ev.Read((gone,), driver.now_ms))
    driver.feed(ev.PartitionLoaded(SOURCE, PartitionView((), {0: key})))
    assert driver.of(do.Deliver) == []
    assert driver.state.in_flight == 1
