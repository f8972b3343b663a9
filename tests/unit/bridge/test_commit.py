"""What is committed: watermarks, with a note for whoever comes after us."""

from random import Random

from agentsched.ledger.values import Change, ChangeKind, State
from agentsched.wire.commit_state import decode_commit_state
from agentsched.wire.epoch import EpochCounter
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.commit import last_mark
from tests.support.requests import record
from tests.unit.bridge.driver import PARTITION, SOURCE, Driver


def owning():
    driver = Driver()
    driver.tick()
    driver.own()
    return driver


def holding(*offsets, state=State.RUNNING):
    driver = owning()
    driver.read(*offsets)
    driver.admitted(state=state)
    return driver


def settle(driver, *offsets):
    changes = (Change(ChangeKind.SETTLED, source=SOURCE, offset=o) for o in offsets)
    driver.feed(ev.Changed(tuple(changes), driver.now_ms, "e1"))


def committed(driver):
    """The watermarks of the last event's commits."""
    return [command.offset for command in driver.of(do.Commit)]


def note(driver):
    (command,) = driver.of(do.Commit)
    return decode_commit_state(command.metadata, command.offset)


def last_note(driver):
    mark = last_mark(driver.state, SOURCE)
    return decode_commit_state(mark.metadata, mark.offset)


def test_an_answered_record_moves_the_watermark_and_is_committed():
    driver = holding(0, 1)
    settle(driver, 0)
    driver.tick(600)
    assert committed(driver) == [1]


def test_nothing_is_committed_past_an_unanswered_record():
    driver = holding(0, 1)
    settle(driver, 1)
    driver.tick(600)
    assert committed(driver) == [0]


def test_what_is_answered_above_the_watermark_is_noted():
    driver = holding(*range(6))
    settle(driver, 1, 3, 4)
    driver.tick(600)
    assert note(driver).done == (range(1, 2), range(3, 5))


def test_the_note_names_the_ledger_and_the_topic():
    driver = holding(0)
    driver.feed(ev.EpochBeaten(EpochCounter("e1", 9)))
    driver.tick(1_000)
    assert (note(driver).pulse, note(driver).topic_id) == (EpochCounter("e1", 9), "t1")
    assert not note(driver).clean


def test_while_requests_are_open_the_note_is_renewed_each_second():
    driver = holding(0)
    driver.tick(600)
    driver.tick(600)
    assert committed(driver) == [0]
    driver.tick(600)
    assert committed(driver) == []


def test_what_has_not_changed_is_not_committed_again():
    driver = holding(0)
    settle(driver, 0)
    driver.tick(600)
    driver.feed(ev.Committed(PARTITION, 1))
    driver.tick(6_000)
    assert committed(driver) == []


def test_a_commit_that_nobody_acknowledged_is_sent_again():
    driver = holding(0)
    settle(driver, 0)
    driver.tick(600)
    driver.tick(5_000)
    assert committed(driver) == [1]


def test_nothing_is_admitted_before_kafka_has_a_note_of_ours():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 5))
    driver.read(0)
    driver.feed(ev.PartitionLoaded(SOURCE, driver.view()))
    assert committed(driver) == [0]
    assert driver.of(do.Admit) == []
    driver.feed(ev.Committed(PARTITION, 0))
    assert len(driver.admitted()) == 1


def test_the_first_note_is_sent_again_each_second():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 5))
    driver.feed(ev.PartitionLoaded(SOURCE, driver.view()))
    driver.tick(1_000)
    assert committed(driver) == [0]


def test_nothing_is_committed_before_the_ledger_has_told_what_is_answered():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 5))
    driver.tick(1_000)
    assert committed(driver) == []
    assert last_mark(driver.state, SOURCE) is None


def test_a_broker_that_takes_short_notes_only_gets_them():
    driver = holding(*range(2_000))
    settle(driver, *Random(7).sample(range(1, 2_000), 1_000))
    driver.tick(600)
    (long,) = driver.of(do.Commit)
    driver.state.commit_state_max_characters = len(long.metadata) + 1
    driver.feed(ev.CommitRefused(PARTITION))
    driver.tick(600)
    (short,) = driver.of(do.Commit)
    assert len(short.metadata) <= len(long.metadata) / 2 + 1
    for _ in range(20):
        driver.feed(ev.CommitRefused(PARTITION))
    assert driver.state.commit_state_max_characters == 250


def test_while_something_is_doubted_the_note_names_the_lost_ledger():
    driver = holding(0, 1)
    driver.tick(600)
    driver.lose("e2")
    settle(driver, 0)
    driver.tick(600)
    assert note(driver).pulse.epoch == "e1"
    driver.look_up()
    driver.tick(600)
    assert note(driver).pulse.epoch == "e2"


def test_bitmap_blocks_are_dropped_when_the_watermark_has_passed_them():
    driver = Driver()
    driver.own()
    assert driver.feed(ev.Committed(PARTITION, 65_535)) == []
    assert driver.feed(ev.Committed(PARTITION, 65_536)) == [
        do.ForgetDone(SOURCE, 65_536)
    ]
    assert driver.feed(ev.Committed(PARTITION, 65_537)) == []


def test_the_ledger_is_told_of_the_watermark_now_and_then():
    driver = owning()
    driver.tick(9_999)
    assert driver.feed(ev.Committed(PARTITION, 4)) == []
    driver.tick(1)
    assert driver.feed(ev.Committed(PARTITION, 5)) == [do.ForgetDone(SOURCE, 5)]
    assert driver.feed(ev.Committed(PARTITION, 6)) == []


def test_who_stops_in_order_takes_what_is_ready_out_and_says_that_nothing_is_left():
    driver = holding(0, 1, state=State.READY)
    driver.feed(ev.DrainStarted())
    (withdraw,) = driver.of(do.Withdraw)
    assert not last_note(driver).clean
    driver.feed(ev.WithdrawAnswered(withdraw.keys, (True, True)))
    assert last_note(driver).clean


def test_who_stops_with_a_request_in_flight_is_not_clean():
    driver = holding(0)
    driver.feed(ev.DrainStarted())
    assert not last_note(driver).clean
    driver.feed(ev.OffsetSettled(SOURCE, 0))
    assert last_note(driver).clean


def test_who_stops_while_a_dead_letter_is_under_way_is_not_clean():
    driver = Driver()
    driver.own()
    driver.feed(ev.Read((record(0, b"not json"),), driver.now_ms))
    driver.feed(ev.DrainStarted())
    assert not last_note(driver).clean


def test_who_gives_a_partition_up_without_stopping_is_not_clean():
    driver = Driver()
    driver.own()
    assert not last_note(driver).clean


def test_a_draining_bridge_commits_what_is_answered():
    driver = holding(0)
    driver.feed(ev.OffsetSettled(SOURCE, 0))
    driver.feed(ev.DrainStarted())
    assert committed(driver) == [1]


def test_the_mark_of_a_partition_is_known_while_it_is_ours():
    driver = Driver()
    driver.own(start=4)
    assert last_mark(driver.state, SOURCE).offset == 4
    driver.feed(ev.Revoked(SOURCE))
    assert last_mark(driver.state, SOURCE) is None


def test_what_was_withdrawn_at_a_stop_is_not_admitted_again():
    driver = holding(0, state=State.READY)
    driver.feed(ev.DrainStarted())
    (withdraw,) = driver.of(do.Withdraw)
    driver.feed(ev.WithdrawAnswered(withdraw.keys, (True,)))
    driver.tick(1_000)
    assert driver.of(do.Admit) == []
