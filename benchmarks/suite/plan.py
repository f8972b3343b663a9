"""What is measured of which system, and in which order; pure.

Repetitions are interleaved: all systems do one thing, one after the other, before the
next thing; who begins changes from repetition to repetition.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

ALL = (
    "agentsched",
    "handwritten",
    "celery-threads",
    "celery-prefork",
    "taskiq",
    "faststream",
    "dramatiq",
)
LEAST = ("agentsched", "handwritten", "celery-threads", "taskiq")


@dataclass(frozen=True, slots=True)
class Part:
    """Sessions of the same kind: so many slots, these measures, of these systems."""

    measures: Mapping[str, Mapping[str, float]]
    """Name -> its arguments, in this order."""
    systems: Sequence[str]
    slots: int
    models: int = 1
    workers: int = 1
    repetitions: int = 0
    """At most so many; 0: all."""


@dataclass(frozen=True, slots=True)
class Step:
    """One session: one system of one part, in one repetition."""

    part: Part
    system: str
    repetition: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run."""

    name: str
    about: str
    repetitions: int
    parts: Sequence[Part] = field(default_factory=tuple)

    def steps(
        self, systems: Sequence[str] = (), repetitions: int = 0
    ) -> Iterator[Step]:
        """Yield the sessions in their order.

        Args:
            systems: only these; empty: all.
            repetitions: instead of the plan's own; 0: those.
        """
        for number in range(repetitions or self.repetitions):
            for part in self.parts:
                if part.repetitions and number >= part.repetitions:
                    continue
                for name in _turned(part.systems, number):
                    if not systems or name in systems:
                        yield Step(part, name, number)


def _turned(systems: Sequence[str], by: int) -> list[str]:
    first = by % len(systems)
    return [*systems[first:], *systems[:first]]


def _seconds(value: float) -> dict[str, float]:
    return {"seconds": value}


QUICK = Plan(
    "quick",
    "about 3 minutes: throughput, overhead, utilisation of four systems",
    2,
    (
        Part(
            {
                "throughput": _seconds(1.5),
                "overhead": _seconds(4),
                "utilisation": _seconds(3),
            },
            LEAST,
            16,
        ),
        Part({"utilisation": _seconds(2)}, LEAST, 64),
    ),
)
_SHORT = {
    "throughput": _seconds(3),
    "overhead": _seconds(5),
    "utilisation": _seconds(4),
}
STANDARD = Plan(
    "standard",
    "about a quarter of an hour: three repetitions of all systems",
    3,
    (
        Part(_SHORT | {"priority": {}}, LEAST, 16),
        Part(_SHORT, [name for name in ALL if name not in LEAST], 16),
        Part({"utilisation": _seconds(4)}, LEAST, 64),
        Part({"utilisation": _seconds(4)}, ("agentsched", "handwritten"), 200),
        Part({"utilisation": _seconds(3)}, ("agentsched",), 3),
        Part(
            {"utilisation": {"seconds": 3, "model_ms": 100}},
            ("agentsched", "celery-threads"),
            1,
        ),
        Part(
            {"idle": _seconds(4), "throughput": _seconds(3)},
            ("agentsched",),
            16,
            models=3,
        ),
        Part({"crash": {}}, ("agentsched",), 16),
        Part(
            {"crash": {}},
            ("handwritten", "celery-threads", "taskiq"),
            16,
            repetitions=1,
        ),
    ),
)
EVERYTHING = Plan(
    "everything",
    "about an hour and a half: all measures of all systems",
    3,
    (
        Part(
            {
                "throughput": _seconds(6),
                "overhead": _seconds(20),
                "utilisation": _seconds(10),
                "priority": {},
            },
            ALL,
            16,
        ),
        Part(
            {"utilisation": _seconds(10)},
            [name for name in ALL if name != "celery-prefork"],
            64,
        ),
        Part({"utilisation": _seconds(12)}, LEAST, 200),
        Part({"utilisation": _seconds(8)}, ALL, 3),
        Part({"utilisation": {"seconds": 8, "model_ms": 100}}, ALL, 1),
        Part(
            {"idle": _seconds(10), "throughput": _seconds(6)},
            [name for name in ALL if name != "faststream"],
            16,
            models=3,
        ),
        *(
            Part(
                {"throughput": _seconds(6)},
                ("agentsched", "celery-threads", "taskiq"),
                16,
                workers=workers,
            )
            for workers in (2, 4)
        ),
        Part({"crash": {}}, ALL, 16),
        *(
            Part({"growth": {"waiting": n}}, ("agentsched",), 16)
            for n in (10**3, 10**4, 10**5)
        ),
        Part({"growth": {"waiting": 10**6}}, ("agentsched",), 16, repetitions=1),
    ),
)
KILLS = Plan(
    "kills",
    "the kill -9 of AgentSched, 20 times",
    20,
    (Part({"crash": {}}, ("agentsched",), 16),),
)
PLANS = {plan.name: plan for plan in (QUICK, STANDARD, EVERYTHING, KILLS)}
