"""Owns the three models of the demo: what they serve, and how fast they pretend to be."""

from dataclasses import dataclass

from agentsched.types import TaskType


@dataclass(frozen=True, slots=True)
class DemoModel:
    """A model that exists in the demo only."""

    name: str
    queue: str
    capacity: int
    task_types: tuple[TaskType, ...]
    first_token_s: float
    """Median time to the first token."""
    tokens_per_s: float
    """Median pace after the first token."""


DEMO_MODELS = (
    DemoModel("gpt-4", "gpt4", 4, (TaskType.TEXT_GENERATION,), 0.35, 60.0),
    DemoModel(
        "llama3",
        "llama3",
        6,
        (TaskType.TEXT_GENERATION, TaskType.DATA_PROCESSING),
        0.12,
        110.0,
    ),
    DemoModel("qwen-vl", "qwenvl", 3, (TaskType.IMAGE_ANALYSIS,), 0.45, 80.0),
)
