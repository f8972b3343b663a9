"""What operators have ordered: paused models, blocked agents, a drain; values only.

A control says who ordered it, when and why. It holds no secret and no content of a
request.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

CONTROL_VERSION = 2
"""Version 1 had no number."""
CONTROL_VERSIONS_READ = frozenset({1, 2})
MAX_CONTROLS = 1_000
"""Controls in force at once: every bridge reads all of them each second."""
MAX_TEXT_CHARACTERS = 200
"""Of `by` and `reason`."""


class ControlKind(StrEnum):
    """What a control does."""

    PAUSE = "pause"
    """No new request of a model starts; what is in flight ends."""
    BLOCK = "block"
    """Requests of an agent are refused (AGENT_BLOCKED); what is in flight ends."""
    DRAIN = "drain"
    """No new request of any model starts, also of models that are added later."""
    UNKNOWN = "unknown"
    """A newer version's, that this one does not know: as long as it is in force no new
    request of any model starts. Nobody orders it."""


@dataclass(frozen=True, slots=True)
class Control:
    """One order of an operator."""

    kind: ControlKind
    name: str = ""
    """PAUSE: the model; BLOCK: the agent; DRAIN: empty; UNKNOWN: what it is called."""
    by: str = ""
    """Who ordered it, such as `ana@ops-1`."""
    reason: str = ""
    at_ms: int = 0
    """When, by the ledger's clock, which sets it."""
    written: bytes = b""
    """What was written, where this process cannot read it; else empty. Its kind and name
    hold all the same."""

    def __str__(self) -> str:
        what = f"{self.kind} {self.name}".strip()
        return f"{what} (by {self.by or 'unknown'}: {self.reason or 'no reason given'})"


@dataclass(frozen=True, slots=True)
class Controls:
    """All controls that are in force."""

    paused: Mapping[str, Control] = field(default_factory=dict)
    """By model."""
    blocked: Mapping[str, Control] = field(default_factory=dict)
    """By agent."""
    drain: Control | None = None
    unknown: tuple[Control, ...] = ()

    @classmethod
    def of(cls, controls: Iterable[Control]) -> "Controls":
        """Sort controls by what they do."""
        found = sorted(controls, key=lambda control: (control.at_ms, control.name))
        return cls(
            {one.name: one for one in found if one.kind is ControlKind.PAUSE},
            {one.name: one for one in found if one.kind is ControlKind.BLOCK},
            next((one for one in found if one.kind is ControlKind.DRAIN), None),
            tuple(one for one in found if one.kind is ControlKind.UNKNOWN),
        )

    def __iter__(self) -> Iterator[Control]:
        """Yield every control, what stops all first, then the oldest of each kind."""
        yield from self.stopping_all()
        yield from self.paused.values()
        yield from self.blocked.values()

    def stopping_all(self) -> Iterator[Control]:
        """Yield what keeps every model from starting anything: the drain first."""
        yield from [self.drain] if self.drain else []
        yield from self.unknown

    def starts(self, model: str) -> bool:
        """Return whether requests of this model may start."""
        return not any(self.stopping_all()) and model not in self.paused


def plain(text: str) -> str:
    """Return a text as a control keeps it: one line, printable, not too long."""
    line = " ".join(text.split())
    return "".join(filter(str.isprintable, line))[:MAX_TEXT_CHARACTERS]
