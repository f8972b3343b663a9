"""Commits are read as Kafka keeps them."""

import pytest

from agentsched.wire.records import Mark
from tests.chaos.commits import Commit, commits_of

pytestmark = [pytest.mark.kafka]


def test_every_commit_of_a_group_is_found_in_its_order(kafka, topic_prefix):
    group, topic = f"{topic_prefix}group", f"{topic_prefix}topic"
    kafka.create_topics({topic: 2})
    for partition, offset in ((0, 3), (1, 5), (0, 4)):
        kafka.commit(group, topic, Mark(offset, "a note"), partition)
    kafka.commit(f"{topic_prefix}other", topic, Mark(9, ""))

    found = commits_of(kafka.bootstrap, group)

    assert found == [
        Commit(topic, partition, offset, one.at_ms)
        for (partition, offset), one in zip(
            [(0, 3), (1, 5), (0, 4)], found, strict=True
        )
    ]
    assert [one.at_ms for one in found] == sorted(one.at_ms for one in found)
    assert found[0].at_ms > 0
