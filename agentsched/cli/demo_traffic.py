"""Owns the requests of the demo: a mixture of classes, task types, agents and models."""

import random
from uuid import UUID

from agentsched.types import Message, Priority, TaskType

PROMPTS = {
    TaskType.TEXT_GENERATION: (
        "Summarize the main points of climate change.",
        "Explain the concept of artificial intelligence.",
        "Describe the process of photosynthesis.",
        "How does the internet work?",
    ),
    TaskType.DATA_PROCESSING: (
        "Extract every date from: born 1912-06-23, died 1954-06-07.",
        "Sort these cities by population: Lima, Oslo, Cairo.",
    ),
    TaskType.IMAGE_ANALYSIS: (
        "What is in this picture?",
        "Read the sign in the image.",
    ),
}
IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk"
    "YAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)
CLASSES = (Priority.HIGH, Priority.MEDIUM, Priority.LOW)
CLASS_SHARES = (2, 5, 3)
SENDERS = (
    ("planner", TaskType.TEXT_GENERATION),
    ("researcher", TaskType.TEXT_GENERATION),
    ("researcher", TaskType.DATA_PROCESSING),
    ("archivist", TaskType.IMAGE_ANALYSIS),
)
SENDER_SHARES = (4, 3, 2, 2)


def requests(number: int, seed: int) -> list[Message]:
    """Make requests; the same for the same arguments, ids included."""
    chance = random.Random(seed)  # noqa: S311  (a mixture, not secrets)
    return [_request(place, chance) for place in range(1, number + 1)]


def topic_of(request: Message) -> str:
    """The input topic of its class."""
    return f"{request.priority}_priority"


def _request(place: int, chance: random.Random) -> Message:
    agent, task_type = chance.choices(SENDERS, SENDER_SHARES)[0]
    prompt = chance.choice(PROMPTS[task_type])
    picture = task_type is TaskType.IMAGE_ANALYSIS
    return Message(
        id=f"demo-{place}",
        task_type=task_type,
        priority=chance.choices(CLASSES, CLASS_SHARES)[0],
        content=[
            {"type": "text", "text": prompt},
            {"type": "image_url", "image_url": {"url": IMAGE}},
        ]
        if picture
        else prompt,
        correlation_id=str(UUID(int=chance.getrandbits(128), version=4)),
        agent_id=agent,
    )
