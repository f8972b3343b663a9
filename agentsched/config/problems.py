"""What is wrong with a configuration, in words: where, what, and how to mend it.

No sentence that it makes holds a secret.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agentsched.config.catalogue import Setting, find, settings_of, word
from agentsched.config.draft import Draft, Origin
from agentsched.config.mask import shown_in_error
from agentsched.config.section import Contradiction, Path, named
from agentsched.config.settings import Settings
from agentsched.errors import ConfigurationError

_OF_A_LIST = frozenset({"tuple_type", "list_type"})
_LENGTHS = frozenset({"string_too_short", "string_too_long", "too_short", "too_long"})


UNSET = Origin()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend.

    Attributes:
        path: the setting; empty where it is none.
        text: what is wrong and what to do.
        origin: where the value came from.
        value: as it may be shown; None where it may not.
    """

    path: Path
    text: str
    origin: Origin = UNSET
    value: str | None = None

    def __str__(self) -> str:
        """On one line: `line 3: limits.ttl_s: must be ... (is -3)`."""
        origin = self.origin
        where = origin.variable or (f"line {origin.line}" if origin.line else "")
        value = f" (is {self.value})" if self.value is not None else ""
        return ": ".join(
            part for part in (where, named(self.path), self.text + value) if part
        )


class InvalidSettings(ConfigurationError):  # noqa: N818
    """The configuration has problems; the text lists all of them.

    Attributes:
        problems: one for each thing to mend.
    """

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        """Keep the problems, those of the file in the order of its lines."""
        self.problems = tuple(sorted(problems, key=lambda each: each.origin.line))
        of_file = any(not each.origin.variable for each in self.problems)
        head = source if of_file else "the environment"
        number = len(self.problems)
        lines = [f"{head}: {number} {'thing' if number == 1 else 'things'} to mend:"]
        super().__init__("\n  ".join([*lines, *map(str, self.problems)]))


def problems_of(error: ValidationError, draft: Draft) -> list[Problem]:
    """Translate what validation found, each with where its value came from."""
    found: dict[tuple[Path, str], Problem] = {}
    for detail in error.errors():
        for problem in _translated(detail, draft):
            # A union tries each of its types: one problem is enough.
            key = problem.path, problem.text
            found.setdefault(key, problem)
    paths = {path for path, _ in found}
    # A list whose item is wrong is also reported as too short: that helps nobody.
    return [
        problem
        for problem in found.values()
        if not any(
            len(other) > len(problem.path)
            and other[: len(problem.path)] == problem.path
            for other in paths
        )
    ]


def _translated(detail: ErrorDetails, draft: Draft) -> Iterator[Problem]:
    path, setting = find(detail["loc"])
    cause = detail.get("ctx", {}).get("error")
    if detail["type"] == "extra_forbidden":
        whole: Path = detail["loc"]
        yield Problem(whole, f"unknown key; {_nearest(whole)}", draft.origin(whole))
    elif isinstance(cause, Contradiction):
        for below, text in cause.problems:
            at = (*path, *below)
            yield Problem(at, text, draft.origin(at))
    elif detail["type"] == "missing":
        yield Problem(path, _missing(setting), draft.origin(path))
    else:
        # With the key of a free mapping: the value may be one of its secrets.
        key = str(path[-1]) if path else ""
        value = shown_in_error(detail["input"], setting, key)
        text = str(cause) if cause else _wish(detail, path, setting)
        yield Problem(path, text, draft.origin(path), value)


def _wish(detail: ErrorDetails, path: Path, setting: Setting | None) -> str:
    """Say what the value must be."""
    kind, message = detail["type"], detail["msg"]
    if setting is None:
        return "must be a mapping of sections such as `kafka:` and `models:`"
    if kind == "string_type" and not isinstance(detail["input"], list | dict):
        return "must be text: put it in quotes"
    if kind == "string_pattern_mismatch" and setting.form:
        return f"must be of {setting.form}"
    if kind in _LENGTHS:
        message = message.split(" after validation")[0]
        return re.sub("^(String|Tuple|Dictionary) should", "must", message)
    return f"must be {_allowed(kind, path, setting)}"


def _allowed(kind: str, path: Path, setting: Setting) -> str:
    if setting.section and kind not in _OF_A_LIST:
        return f"a section with keys of: {', '.join(settings_of(setting.section))}"
    if setting.is_mapping and setting.name != path[-1]:
        return "text, a number, true or false"
    if setting.is_list and isinstance(path[-1], int):
        return "a section" if setting.section else word(setting.item)
    has_default = setting.default_text and not (setting.is_list or setting.is_mapping)
    default = f"; default {setting.default_text}" if has_default else ""
    return f"{setting.allowed}{default}"


def _missing(setting: Setting | None) -> str:
    if setting is None:
        return "is missing: add it"
    example = f", such as {setting.example}" if setting.example else ""
    return f"is missing: add it ({setting.allowed}{example})"


def _nearest(path: Path) -> str:
    setting = find(path[:-1])[1]
    section = setting.section if setting else Settings
    known = list(settings_of(section)) if section else []
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"


def as_json(problem: Problem) -> dict[str, Any]:
    """Return a problem for scripts."""
    return {
        "path": named(problem.path),
        "file": problem.origin.file or None,
        "line": problem.origin.line or None,
        "variable": problem.origin.variable or None,
        "value": problem.value,
        "problem": problem.text,
    }
