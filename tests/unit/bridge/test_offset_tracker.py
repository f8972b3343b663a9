"""The offset tracker: what may be committed."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from bridge.core.offset_tracker import OffsetTracker


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


def test_answered_offsets_that_were_not_read_are_not_opened():
    tracker = tracker_of(0)
    tracker.answered([range(1, 3), range(5, 6)])
    assert [tracker.read(offset) for offset in (1, 2, 3, 5)] == [
        False,
        False,
        True,
        False,
    ]
    assert len(tracker) == 2


def test_the_watermark_passes_answered_offsets_that_were_not_read():
    tracker = tracker_of(0)
    tracker.answered([range(1, 3)])
    tracker.done(0)
    assert (tracker.watermark, tracker.next_offset) == (3, 3)


def test_answered_offsets_are_kept_as_runs():
    tracker = tracker_of(*range(10_000))
    for offset in range(1, 10_000):
        tracker.done(offset)
    assert (tracker.watermark, tracker.runs) == (0, [range(1, 10_000)])


class TrackerMachine(RuleBasedStateMachine):
    """Any history: the tracker agrees with plain sets."""

    @initialize(start=st.integers(0, 5))
    def begin(self, start):
        self.tracker = OffsetTracker(start)
        self.next, self.read, self.answered = start, set(), set(range(start))

    @rule(gap=st.integers(0, 3))
    def read_next(self, gap):
        offset = self.next + gap
        self.answered |= set(range(self.next, offset))
        new = offset not in self.answered
        assert self.tracker.read(offset) is new
        self.read |= {offset} if new else set()
        self.next = offset + 1

    @precondition(lambda self: self.next)
    @rule(data=st.data())
    def read_again(self, data):
        assert not self.tracker.read(data.draw(st.integers(0, self.next - 1)))

    @rule(data=st.data())
    def one_is_done(self, data):
        offset = data.draw(st.integers(0, self.next + 2))
        was_open = offset in self.read - self.answered
        assert self.tracker.done(offset) is was_open
        self.answered |= {offset} if was_open else set()

    @rule(data=st.data(), length=st.integers(0, 6))
    def some_are_answered(self, data, length):
        start = data.draw(st.integers(0, self.next + 6))
        self.tracker.answered([range(start, start + length)])
        self.answered |= set(range(start, start + length))

    @invariant()
    def agrees(self):
        watermark = min(set(range(self.next + 20)) - self.answered)
        self.next = max(self.next, watermark)
        assert self.tracker.watermark == watermark
        assert self.tracker.next_offset == self.next
        assert len(self.tracker) == len(self.read - self.answered)
        above = {offset for run in self.tracker.runs for offset in run}
        assert above == {offset for offset in self.answered if offset > watermark}


TrackerMachine.TestCase.settings = settings(max_examples=200, deadline=None)
test_any_history_of_a_tracker_agrees_with_plain_sets = TrackerMachine.TestCase
