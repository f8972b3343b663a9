"""Owns which class an input topic stands for; bridge and clients must agree on it."""

from collections.abc import Sequence

from agentsched.types import Priority


def class_of_topic(topic: str, input_topics: Sequence[str]) -> Priority:
    """Return the class of requests on `topic` that state none.

    What the topic states, else medium.
    """
    return stated_class(topic, input_topics) or Priority.MEDIUM


def stated_class(topic: str, input_topics: Sequence[str]) -> Priority | None:
    """Return the class that a topic states; None where it states none.

    By its name (`high_priority`), else by its place where there are exactly three
    input topics.
    """
    for cls in Priority:
        if topic == cls or topic.endswith(f"{cls}_priority"):
            return cls
    classes = list(Priority)
    if len(input_topics) == len(classes) and topic in input_topics:
        return classes[list(input_topics).index(topic)]
    return None


def topic_of_class(cls: Priority, input_topics: Sequence[str]) -> str:
    """Return the topic for requests of a class; the first one where none is for it.

    A request that states its class keeps it on every input topic; a topic of its own
    keeps it from standing behind others in a partition.
    """
    fitting = (
        each for each in input_topics if class_of_topic(each, input_topics) == cls
    )
    return next(fitting, input_topics[0])
