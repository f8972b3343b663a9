"""The offset tracker: what may be committed."""

from bridge.core.tracker import OffsetTracker


def tracker_of(*offsets, start=0):
    tracker = OffsetTracker(start)
    for offset in offsets:
        tracker.read(offset)
    return tracker


def test_nothing_read_leaves_the_watermark_at_the_start():
    assert OffsetTracker(7).watermark == 7


def test_an_open_offset_holds_the_watermark():
    tracker = tracker_of(0, 1, 2)
    tracker.done(1)
    tracker.done(2)
    assert tracker.watermark == 0


def test_the_watermark_moves_to_the_lowest_open_offset():
    tracker = tracker_of(0, 1, 2)
    tracker.done(1)
    tracker.done(0)
    assert tracker.watermark == 2


def test_with_everything_done_the_watermark_is_after_the_last():
    tracker = tracker_of(0, 1)
    tracker.done(0)
    tracker.done(1)
    assert tracker.watermark == 2


def test_gaps_in_the_offsets_do_not_hold_the_watermark():
    tracker = tracker_of(5, 9, start=3)
    assert tracker.watermark == 5
    tracker.done(5)
    assert tracker.watermark == 9


def test_an_offset_that_was_read_before_is_not_opened_again():
    tracker = tracker_of(0)
    tracker.done(0)
    assert tracker.read(0) is False
    assert tracker.watermark == 1


def test_an_offset_is_done_once():
    tracker = tracker_of(0)
    assert (tracker.done(0), tracker.done(0), tracker.done(4)) == (True, False, False)
