"""Values before they are checked, and where each came from."""

from dataclasses import dataclass, field
from typing import Any

from agentsched.config.section import Path


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: a line of the file, a variable, or another setting."""

    file: str = ""
    line: int = 0
    variable: str = ""
    derived: str = ""
    """The setting that stands for this one."""


@dataclass(slots=True)
class Draft:
    """A tree of values with the origin of each."""

    data: dict[str, Any] = field(default_factory=dict, repr=False)
    origins: dict[Path, Origin] = field(default_factory=dict)

    def origin(self, path: Path) -> Origin:
        """Return where a value came from, or the nearest thing around it."""
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins.get(path, Origin())

    def has(self, path: Path) -> bool:
        """Whether somebody set this very value."""
        return self.get(path) is not None

    def get(self, path: Path) -> Any:  # noqa: ANN401  (any value of YAML)
        """Return a value; None where there is none."""
        value: Any = self.data
        for part in path:
            if not _fits(value, part):
                return None
            value = value[part]
        return value

    def put(self, path: Path, value: object, origin: Origin) -> bool:
        """Set a value over what is there, with sections on the way to it.

        Returns:
            False where the path leads through something that is no section, or to an
            item of a list that is not there; nothing is set then.
        """
        for end, part in enumerate(path[1:], 1):
            section = self.get(path[: end - 1])
            is_open = isinstance(section, dict) and section.get(path[end - 1]) is None
            if is_open and isinstance(part, str):
                section[path[end - 1]] = {}
        section = self.get(path[:-1])
        is_key = isinstance(section, dict) and isinstance(path[-1], str)
        if not is_key and not _fits(section, path[-1]):
            return False
        section[path[-1]] = value
        self._forget(path)
        self.origins[path] = origin
        return True

    def rename(self, old: Path, new: str) -> None:
        """Call a key by another name; its origin goes with it."""
        section = self.get(old[:-1])
        section[new] = section.pop(old[-1])
        for path, origin in self._forget(old).items():
            self.origins[(*old[:-1], new, *path[len(old) :])] = origin

    def _forget(self, path: Path) -> dict[Path, Origin]:
        below = [each for each in self.origins if each[: len(path)] == path]
        return {each: self.origins.pop(each) for each in below}


def _fits(value: object, part: str | int) -> bool:
    if isinstance(part, int):
        return isinstance(value, list) and part < len(value)
    return isinstance(value, dict) and part in value
