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

    def __str__(self) -> str:
        """Name it for people; empty for a default."""
        in_file = f"{self.file}, line {self.line}" if self.file else ""
        return self.variable or in_file or self.derived


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
            if isinstance(part, int):
                fits = isinstance(value, list) and part < len(value)
            else:
                fits = isinstance(value, dict) and part in value
            if not fits:
                return None
            value = value[part]
        return value

    def put(self, path: Path, value: object, origin: Origin) -> bool:
        """Set a value over what is there, with sections on the way to it.

        Returns:
            False where the path leads through something that is no section, or to an
            item of a list that is not there; nothing is set then.
        """
        where: Any = self.data
        for place, part in enumerate(path[:-1]):
            if isinstance(part, int):
                if not (isinstance(where, list) and part < len(where)):
                    return False
            elif not isinstance(where, dict):
                return False
            elif where.get(part) is None:
                if isinstance(path[place + 1], int):
                    return False
                where[part] = {}
            where = where[part]
        last = path[-1]
        fits = (
            isinstance(where, list) and last < len(where)
            if isinstance(last, int)
            else isinstance(where, dict)
        )
        if not fits:
            return False
        where[last] = value
        below = [each for each in self.origins if each[: len(path)] == path]
        for each in below:
            del self.origins[each]
        self.origins[path] = origin
        return True

    def rename(self, old: Path, new: str) -> None:
        """Call a key by another name; its origin goes with it."""
        section = self.get(old[:-1])
        section[new] = section.pop(old[-1])
        for each in [path for path in self.origins if path[: len(old)] == old]:
            self.origins[(*old[:-1], new, *each[len(old) :])] = self.origins.pop(each)
