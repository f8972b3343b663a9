"""What a section of the configuration is made of; it knows no section by name.

A section is a class, a setting is a typed field with a default, bounds and a sentence
below it. Errors, environment, schema, sample and reference are derived from these: who
adds a field writes nothing else.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

Path = tuple[str | int, ...]
"""Where a setting is: `("models", 0, "endpoints", 1, "capacity")`."""


class Applies(StrEnum):
    """When a change of a setting counts; the text is what the reference says."""

    RELOAD = "reload"
    """Bridges take it at SIGHUP; workers do not read it."""
    RELOAD_WORKERS_RESTART = "reload; workers: restart"
    """Bridges take it at SIGHUP, workers when they start."""
    RESTART = "restart"
    """Bridges and workers read it when they start."""
    BRIDGES_RESTART = "restart of bridges"
    """Bridges read it when they start; workers do not."""
    WORKERS_RESTART = "restart of workers"
    """Workers read it when they start; bridges do not."""

    @property
    def restarts_bridges(self) -> bool:
        """Whether a bridge keeps the old value until it is started anew."""
        return self in {Applies.RESTART, Applies.BRIDGES_RESTART}

    @property
    def restarts_workers(self) -> bool:
        """Whether a worker keeps the old value until it is started anew."""
        return self not in {Applies.RELOAD, Applies.BRIDGES_RESTART}


class Section(BaseModel):
    """A part of the configuration: frozen, without unknown keys."""

    applies: ClassVar[Applies] = Applies.RELOAD
    """When a change counts of the settings that are not marked themselves."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        # The sentence below a field is its description, everywhere.
        use_attribute_docstrings=True,
        # A value may be a password, and error texts travel far.
        hide_input_in_errors=True,
    )


@dataclass(frozen=True, slots=True)
class Secret:
    """Marks a setting whose value is shown nowhere."""


@dataclass(frozen=True, slots=True)
class Address:
    """Marks a URL that may hold a password: shown without it, when wrong not at all."""


@dataclass(frozen=True, slots=True)
class Inactive:
    """Marks a setting that is accepted and does nothing yet; whoever sets it is told."""


@dataclass(frozen=True, slots=True)
class Published:
    """Marks a setting that the published sample calls by another name."""

    name: str


@dataclass(frozen=True, slots=True)
class Form:
    """Says in words what a pattern allows: `letters, digits and "-"`."""

    words: str


@dataclass(frozen=True, slots=True)
class DottedKeys:
    """Marks a mapping whose keys have dots: in a variable's name `_` stands for them."""


class Contradiction(ValueError):  # noqa: N818  (names the event)
    """Settings that are fine one by one and do not go together.

    Attributes:
        problems: (path below the section that raises, sentence with the fix).
    """

    def __init__(self, problems: Iterable[tuple[Path, str]]) -> None:
        """Keep each with its place; the text has them all."""
        self.problems = tuple(problems)
        super().__init__(
            "; ".join(f"{named(at)}: {text}" for at, text in self.problems)
        )


def named(path: Path) -> str:
    """Return how people write a path: `models[0].endpoints[1].capacity`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def repeated(values: Iterable[Hashable]) -> Iterator[tuple[int, int]]:
    """Yield the place of each value that stands twice, and of the first like it."""
    first: dict[Hashable, int] = {}
    for place, value in enumerate(values):
        if first.setdefault(value, place) != place:
            yield place, first[value]
