"""Commits on their way: what waits while Kafka has not answered, and when it goes."""

from agentsched.kafka.group.commits import OneCommitAtATime
from agentsched.wire.records import Mark, Partition

ONE, OTHER = Partition("t", 1), Partition("t", 2)


def test_while_a_commit_is_on_its_way_the_next_waits_and_the_last_mark_counts():
    commits = OneCommitAtATime()
    commits.add({ONE: Mark(1)})
    assert commits.take() == {ONE: Mark(1)}
    commits.add({ONE: Mark(2)})
    commits.add({ONE: Mark(3)})
    assert commits.take() == {}
    commits.answered([ONE])
    assert commits.take() == {ONE: Mark(3)}


def test_partitions_do_not_wait_for_each_other():
    commits = OneCommitAtATime()
    commits.add({ONE: Mark(1)})
    commits.take()
    commits.add({ONE: Mark(2), OTHER: Mark(7)})
    assert commits.take() == {OTHER: Mark(7)}
    commits.answered([OTHER])
    assert commits.take() == {}
    assert commits.on_their_way([ONE])
    assert not commits.on_their_way([OTHER])


def test_a_partition_that_goes_leaves_nothing_behind():
    commits = OneCommitAtATime()
    commits.add({ONE: Mark(1), OTHER: Mark(2)})
    commits.drop([ONE])
    assert commits.take() == {OTHER: Mark(2)}
    commits.drop([OTHER])
    commits.add({OTHER: Mark(0)})
    assert commits.take() == {OTHER: Mark(0)}


def test_nothing_is_sent_when_nothing_waits():
    assert OneCommitAtATime().take() == {}
