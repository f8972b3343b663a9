"""After a loss of Redis: what may have been answered is looked up before it runs."""

import pytest

from agentsched.ledger.values import Change, ChangeKind, ReadyEntry, Snapshot, State
from agentsched.wire.commit_state import CommitState
from agentsched.wire.epoch import NO_EPOCH, EpochCounter
from agentsched.wire.records import Partition
from bridge.core import commands as do
from bridge.core import events as ev
from tests.support.requests import facts, record
from tests.unit.bridge.driver import PARTITION, SOURCE, Driver

OTHER = "other:t2:0"


def admitting(*offsets, **changes):
    driver = Driver(**changes)
    driver.own()
    driver.read(*offsets)
    driver.admitted(state=State.RUNNING)
    return driver


def offsets_of(commands):
    return [a.facts.offset for command in commands for a in command.admissions]


def test_what_was_admitted_waits_and_what_comes_later_does_not():
    driver = admitting(0, 1)
    driver.lose()
    assert driver.of(do.Admit) == []
    driver.read(2)
    assert offsets_of(driver.of(do.Admit)) == [2]


def test_what_was_never_admitted_is_admitted_at_once():
    driver = Driver(limits={"ready_max_entries": 10})
    driver.own()
    driver.read(*range(12))
    driver.admitted()
    driver.lose()
    assert offsets_of(driver.of(do.Admit)) == [10, 11]


def test_kafka_is_asked_when_no_reply_of_the_old_epoch_can_come_any_more():
    driver = admitting(0)
    driver.lose(age_ms=5_000)
    driver.tick(16_999)
    assert driver.of(do.LookUpReplies) == []
    driver.tick(500)
    (asked,) = driver.of(do.LookUpReplies)
    assert asked.wanted == (do.OffsetRange(SOURCE, 0, 1),)
    driver.tick(60_000)
    assert driver.of(do.LookUpReplies) == []  # once


def test_the_grace_is_a_setting():
    timing = {"loss_grace_s": 3, "delivery_timeout_s": 1}
    driver = admitting(0, timing=timing)
    driver.lose()
    driver.tick(3_000)
    assert len(driver.of(do.LookUpReplies)) == 1


def test_what_has_an_answer_is_settled_and_the_rest_is_admitted():
    driver = admitting(0, 1, 2)
    driver.lose()
    driver.look_up(0, 2)
    assert driver.watermark() == 1
    assert offsets_of(driver.of(do.Admit)) == [1]
    restored = [run for command in driver.of(do.RestoreDone) for run in command.runs]
    assert restored == [range(1), range(2, 3)]


def test_kafka_is_asked_again_when_it_did_not_answer():
    driver = admitting(0)
    driver.lose()
    driver.tick(22_000)
    (asked,) = driver.of(do.LookUpReplies)
    driver.feed(ev.LookUpFailed(asked))
    assert driver.of(do.Admit) == []
    driver.tick(500)
    assert driver.of(do.LookUpReplies) == [asked]


def test_kafka_is_asked_from_the_time_of_the_oldest_doubted_record():
    driver = Driver()
    driver.own()
    records = [record(n, written_after_ms=at) for n, at in enumerate((900, 700, 800))]
    driver.feed(ev.Read(tuple(records), driver.now_ms))
    driver.admitted()
    driver.lose()
    driver.tick(22_000)
    assert driver.of(do.LookUpReplies)[0].since_ms == 700


def test_the_answer_of_a_look_up_in_an_older_epoch_is_void():
    driver = admitting(0)
    driver.lose("e2")
    driver.tick(22_000)
    (asked,) = driver.of(do.LookUpReplies)
    driver.lose("e3")
    driver.feed(ev.LookedUp(asked, {}, driver.now_ms))
    assert driver.of(do.Admit) == []
    driver.look_up()
    assert offsets_of(driver.of(do.Admit)) == [0]


def test_a_partition_that_went_meanwhile_is_left_alone():
    driver = admitting(0)
    driver.lose()
    driver.tick(22_000)
    (asked,) = driver.of(do.LookUpReplies)
    driver.feed(ev.Revoked(SOURCE))
    driver.feed(ev.LookedUp(asked, {SOURCE: [0]}, driver.now_ms))
    assert driver.said == []


def test_all_partitions_are_looked_up_at_once():
    driver = admitting(0)
    driver.own(source=OTHER, partition=Partition("other", 0))
    driver.feed(ev.Read((record(5, topic="other"),), driver.now_ms))
    driver.admitted()
    driver.lose()
    driver.tick(22_000)
    (asked,) = driver.of(do.LookUpReplies)
    assert {one.source for one in asked.wanted} == {SOURCE, OTHER}


def test_the_ledger_is_told_what_this_bridge_knows_to_be_answered():
    driver = admitting(0, 1, 2, 3)
    for offset in (0, 2, 3):
        driver.feed(ev.OffsetSettled(SOURCE, offset))
    driver.lose()
    assert driver.of(do.RestoreDone) == [
        do.RestoreDone(SOURCE, (range(1), range(2, 4)))
    ]


def test_what_could_not_be_told_to_the_ledger_is_told_again():
    driver = admitting(0)
    driver.feed(ev.OffsetSettled(SOURCE, 0))
    driver.lose()
    (restore,) = driver.of(do.RestoreDone)
    driver.feed(ev.SettleFailed(restore))
    driver.tick(1_000)
    assert driver.of(do.RestoreDone) == [restore]


def test_a_request_sent_twice_has_one_answer_after_a_loss_too():
    driver = Driver()
    driver.own()
    driver.read(0, 1, id="same", correlation_id="same")
    driver.read(2, id="same", correlation_id="same", content="other")
    driver.lose()
    driver.look_up(0)
    assert driver.watermark() == 2
    assert offsets_of(driver.of(do.Admit)) == [2]


def test_what_an_earlier_owner_admitted_and_is_not_read_yet_is_doubted_as_well():
    driver = Driver()
    driver.own(end=9, live={4: "k4"})
    driver.lose()
    driver.read(4, 5)
    assert offsets_of(driver.of(do.Admit)) == [5]
    driver.look_up(4)
    assert driver.state.partitions[SOURCE].doubt is None
    assert driver.watermark() == 5


def test_a_refused_record_that_is_doubted_is_answered_after_the_look_up():
    driver = Driver()
    driver.own(end=9, live={4: "k4"})
    driver.lose()
    bad = tuple(record(offset, b"not json") for offset in (3, 4))
    driver.feed(ev.Read(bad, driver.now_ms))
    assert driver.of(do.PublishRefusal) == []
    driver.look_up(3)
    assert [command.offset for command in driver.of(do.PublishRefusal)] == [4]


def test_a_doubt_ends_when_all_was_read_and_nothing_is_open():
    driver = Driver()
    driver.own(end=9, live={4: "k4"}, done={4})
    driver.lose()
    driver.read(5)
    driver.tick(500)
    assert driver.state.partitions[SOURCE].doubt is None


def test_an_overdue_request_is_not_answered_while_it_is_doubted():
    driver = admitting(0)
    driver.lose()
    driver.now_ms += 10_000_000
    driver.feed(ev.Tick(driver.now_ms))
    assert driver.of(do.Admit) == []


def test_nothing_starts_while_calls_of_the_lost_epoch_may_still_run():
    driver = Driver()
    driver.own()
    driver.lead(m=2)
    driver.lose()
    ready = ReadyEntry(facts("k1"))
    driver.lead(m=2)
    driver.feed(ev.Synced(Snapshot("0-0", 0, (ready,), ()), driver.now_ms))
    assert driver.listed() == []
    driver.tick(6_000)
    assert driver.listed() == ["k1"]


def test_the_bridge_beats_with_what_it_has_seen():
    driver = Driver()
    driver.tick(1_000)
    assert driver.of(do.BeatEpoch) == [do.BeatEpoch(EpochCounter("e1", 0), "")]
    driver.feed(ev.EpochBeaten(EpochCounter("e1", 7)))
    change = Change(ChangeKind.LEFT, "5-0", key="x")
    driver.feed(ev.Changed((change,), driver.now_ms, "e1"))
    driver.tick(1_000)
    assert driver.of(do.BeatEpoch) == [do.BeatEpoch(EpochCounter("e1", 7), "5-0")]


def test_a_log_that_was_put_back_is_looked_into_at_once():
    driver = Driver()
    driver.feed(ev.EpochBeaten(EpochCounter("e1", 7)))
    gone = Change(ChangeKind.GONE, at="5-0")
    driver.feed(ev.Changed((gone,), driver.now_ms, "e1"))
    assert driver.said == [do.BeatEpoch(EpochCounter("e1", 7), "5-0")]


def test_what_was_heard_of_a_lost_epoch_is_forgotten():
    driver = Driver()
    change = Change(ChangeKind.LEFT, "5-0", key="x")
    driver.feed(ev.Changed((change,), driver.now_ms, "e1"))
    driver.lose()
    driver.feed(ev.Changed((change,), driver.now_ms, "e1"))
    driver.tick(1_000)
    assert driver.of(do.BeatEpoch) == [do.BeatEpoch(EpochCounter("e2", 1), "")]


def test_a_partition_that_is_not_loaded_keeps_its_question():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 5))
    driver.read(0)
    driver.lose()
    driver.load()
    assert offsets_of(driver.of(do.Admit)) == [0]


E4, E5, E6 = (f"0000000{number}aaaa" for number in (4, 5, 6))


def taking_over(note, *, epoch=E5, fresh=False, end=3, start=0, last_change=""):
    """A bridge that has opened an epoch and gets a partition with a note."""
    driver = Driver()
    driver.state.epoch = ""
    driver.feed(ev.EpochOpened(epoch, 7, 2_000, fresh, driver.now_ms))
    driver.state.last_change = last_change
    driver.feed(ev.Assigned(PARTITION, SOURCE, start, end, start, note))
    return driver


def noted(epoch, beats=3, *, clean=False, done=()):
    return CommitState(EpochCounter(epoch, beats), "t1", clean=clean, done=done)


def test_who_takes_over_in_the_same_epoch_doubts_nothing():
    driver = taking_over(noted(E5))
    driver.read(0)
    driver.load()
    assert offsets_of(driver.of(do.Admit)) == [0]


def test_who_takes_over_what_another_epoch_left_doubts_all_that_was_there():
    driver = taking_over(noted(E4))
    driver.read(0)
    driver.load()
    driver.read(1, 2, 3)
    assert offsets_of(driver.of(do.Admit)) == [3]
    driver.tick(9_999)
    assert driver.of(do.LookUpReplies) == []  # the epoch is 2 s old
    driver.look_up(0, 2)
    assert offsets_of(driver.of(do.Admit)) == [1]


def test_refused_records_wait_for_the_look_up_as_well():
    driver = taking_over(noted(E4))
    driver.feed(ev.Read((record(0, b"not json"),), driver.now_ms))
    driver.load()
    driver.feed(ev.Read((record(1, b"not json"),), driver.now_ms))
    assert driver.of(do.PublishRefusal) == []
    driver.look_up(0)
    assert [command.offset for command in driver.of(do.PublishRefusal)] == [1]


def test_what_the_open_epoch_has_is_not_doubted():
    driver = taking_over(noted(E4))
    driver.read(0, 1)
    key = driver.state.partitions[SOURCE].entries[0].key
    driver.load(live={0: key})
    assert driver.state.in_flight == 1


def test_what_an_earlier_owner_noted_as_answered_is_answered():
    driver = taking_over(noted(E5, done=(range(1, 2),)))
    driver.load()
    driver.read(0, 1, 2)
    assert offsets_of(driver.of(do.Admit)) == [0, 2]


def test_after_a_clean_stop_a_fresh_redis_makes_no_doubt():
    driver = taking_over(noted(E4, clean=True), fresh=True)
    driver.read(0)
    driver.load()
    assert offsets_of(driver.of(do.Admit)) == [0]


@pytest.mark.parametrize(
    ("epoch", "fresh"),
    [(E5, False), (E6, True)],
    ids=["put back: workers may have run", "another epoch in between"],
)
def test_a_clean_stop_excuses_nothing_else(epoch: str, fresh: bool):  # noqa: FBT001
    driver = taking_over(noted(E4, clean=True), epoch=epoch, fresh=fresh)
    driver.read(0)
    driver.load()
    assert driver.of(do.Admit) == []


def test_a_note_that_cannot_be_read_makes_doubt():
    driver = taking_over(CommitState(NO_EPOCH))
    driver.read(0)
    driver.load()
    assert driver.of(do.Admit) == []


def test_what_was_heard_of_this_epoch_is_not_shown_as_heard_of_a_newer_one():
    """Redis would not find it in the newer log, and take that for lost."""
    driver = taking_over(noted("f" * 24, beats=9), last_change="5-0")
    assert driver.of(do.BeatEpoch) == [do.BeatEpoch(EpochCounter("f" * 24, 9), "")]


def test_a_note_that_has_seen_more_is_shown_to_redis_first():
    driver = taking_over(noted(E5, beats=9))
    assert [type(command) for command in driver.said] == [
        do.BeatEpoch,
        do.LoadPartition,
    ]
    assert driver.of(do.BeatEpoch)[0].known == EpochCounter(E5, 9)
    driver.lose(E6)
    driver.read(0)
    driver.load()
    assert driver.of(do.Admit) == []


def test_nothing_is_held_up_where_nothing_was_lost():
    driver = taking_over(noted(E5))
    driver.load()
    assert driver.state.hold_until_ms == 0


def test_a_bridge_that_starts_just_after_a_loss_lets_workers_hear_of_it():
    driver = taking_over(noted(E4))
    assert driver.state.hold_until_ms == 0
    driver.load()
    # The epoch was 2 s old; workers renew every 5 s, and stop within one more.
    assert driver.state.hold_until_ms == driver.state.now_ms - 2_000 + 6_000


def test_what_the_open_epoch_has_is_left_to_it_though_kafka_has_an_answer():
    driver = taking_over(noted(E4), end=9)
    driver.read(0, 1)
    key = driver.state.partitions[SOURCE].entries[0].key
    driver.load(live={0: key, 5: "k5"})
    driver.look_up(0, 1, 5)
    assert driver.state.in_flight == 1
    assert driver.of(do.RestoreDone) == [do.RestoreDone(SOURCE, (range(1, 2),))]
    driver.feed(ev.OffsetSettled(SOURCE, 0))
    assert driver.watermark() == 2
    driver.read(5)
    assert driver.watermark() == 5
