"""Which class an input topic stands for, and which topic a class is sent to."""

import pytest

from agentsched.types import Priority
from agentsched.wire.topic_class import class_of_topic, topic_of_class

OURS = ("high_priority", "medium_priority", "low_priority")


@pytest.mark.parametrize(
    ("topic", "topics", "cls"),
    [
        ("low_priority", OURS, "low"),
        ("team-a.high_priority", ("team-a.high_priority",), "high"),
        ("low", ("high", "low"), "low"),
        ("a", ("a", "b", "c"), "high"),
        ("c", ("a", "b", "c"), "low"),
        ("a", ("a", "b"), "medium"),
    ],
)
def test_a_topic_stands_for_the_class_of_its_name_or_of_its_place(topic, topics, cls):
    assert class_of_topic(topic, topics) == cls


@pytest.mark.parametrize("topics", [OURS, ("a", "b", "c"), OURS[::-1]])
def test_a_request_goes_to_the_topic_of_its_class(topics):
    for cls in Priority:
        assert class_of_topic(topic_of_class(cls, topics), topics) == cls


def test_a_class_without_a_topic_goes_to_the_first_one():
    assert topic_of_class(Priority.HIGH, ("requests", "more")) == "requests"
