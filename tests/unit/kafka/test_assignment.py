"""Where reading starts, from what Kafka says of a partition."""

import pytest

from agentsched.kafka.group.assignment import AssignedPartition
from agentsched.wire.commit_state import CommitState, encode_commit_state
from agentsched.wire.epoch import EpochCounter
from agentsched.wire.records import Partition


def assigned(committed, low=2, end=9, topic_id="T1", metadata=None):
    note = CommitState(EpochCounter("0000000100", 1), topic_id)
    if metadata is None and committed is not None:
        metadata = encode_commit_state(note, committed)
    place = Partition("high_priority", 0)
    return AssignedPartition(place, "T1", committed, low, end, metadata or "")


@pytest.mark.parametrize(
    ("committed", "start"),
    [(None, 2), (5, 5), (9, 9), (1, 2), (20, 9)],
    ids=["first start", "inside", "all read", "deleted before it", "truncated"],
)
def test_reading_starts_at_the_committed_offset_where_it_can(committed, start):
    assert assigned(committed).start == start


@pytest.mark.parametrize("committed", [5, 20])
def test_the_offset_of_another_topic_of_the_same_name_does_not_count(committed):
    other = assigned(committed, topic_id="Tbefore")
    assert (other.start, other.inherited_state) == (2, None)


def test_without_a_note_of_ours_an_offset_beyond_the_end_is_of_another_topic():
    assert assigned(20, metadata="of another tool").start == 2
    assert assigned(5, metadata="of another tool").start == 5


def test_a_note_is_read_beside_its_offset():
    note = assigned(5).inherited_state
    assert note is not None
    assert (note.pulse, note.topic_id) == (EpochCounter("0000000100", 1), "T1")
