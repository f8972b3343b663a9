"""Which settings there are: read from the sections' classes, and from nothing else.

Errors, environment, sample, schema and reference ask here. It knows no value that
somebody set.
"""

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from agentsched.config.section import Applies, Form, Inactive, Path, Section
from agentsched.config.settings import Settings

_WORDS: Mapping[object, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of a section, as errors and documents need it."""

    name: str
    field: FieldInfo
    kind: Any
    """Without `None` and without what Annotated adds."""
    owner: type[Section]
    """The section that it is a field of."""

    @property
    def section(self) -> type[Section] | None:
        """The class of the section that it is, or of those that it is a list of."""
        made_of = self.item if self.is_list else self.kind
        is_one = isinstance(made_of, type) and issubclass(made_of, Section)
        return made_of if is_one else None

    @property
    def is_list(self) -> bool:
        """Whether it has any number of items."""
        return get_origin(self.kind) in {tuple, list}

    @property
    def is_mapping(self) -> bool:
        """Whether its keys are free."""
        return get_origin(self.kind) is dict

    @property
    def item(self) -> Any:  # noqa: ANN401  (a type)
        """The type of a list's items."""
        return _plain(get_args(self.kind)[0])

    @property
    def sentence(self) -> str:
        """What it is for; on one line."""
        of_section = self.section.__doc__ if self.section else ""
        text = " ".join((self.field.description or of_section or "").split())
        return f"{text} Accepted, not active yet." if self.marked(Inactive) else text

    @property
    def default(self) -> Any:  # noqa: ANN401
        """The default in JSON's types; `PydanticUndefined` where one is required."""
        value = self.field.get_default(call_default_factory=True)
        if isinstance(value, tuple):
            return [_json(item) for item in value]
        return _json(value)

    @property
    def example(self) -> Any:  # noqa: ANN401
        """What the sample shows for it; None where the default is shown."""
        examples = self.field.examples or [None]
        return examples[0]

    @property
    def applies(self) -> Applies:
        """When a change of it counts."""
        found = next((m for m in self.field.metadata if isinstance(m, Applies)), None)
        return found or self.owner.applies

    def marked(self, marker: type) -> Any:  # noqa: ANN401  (the marker of that class)
        """Return the marker of a class, or None."""
        markers = (*self.field.metadata, *_inner(self.field.annotation))
        return next((each for each in markers if isinstance(each, marker)), None)

    @property
    def allowed(self) -> str:
        """Kind and bounds in words: `a whole number from 1 to 10000`."""
        bounds = {
            name: getattr(mark, name)
            for mark in self.field.metadata
            for name in ("ge", "gt", "le", "lt")
            if hasattr(mark, name)
        }
        at_most = " to" if "ge" in bounds else ", at most"
        words = {"ge": " from", "gt": " above", "le": at_most, "lt": ", below"}
        texts = [f"{words[name]} {bound}" for name, bound in bounds.items()]
        return self._words() + "".join(texts)

    @property
    def form(self) -> str:
        """What its text, or that of its items, must look like; empty without a rule."""
        found = self.marked(Form)
        return found.words if found else ""

    @property
    def default_text(self) -> str:
        """The default as one writes it in YAML; empty where one is required."""
        default = self.default
        if default is PydanticUndefined:
            return ""
        return f"{default:g}" if isinstance(default, float) else json.dumps(default)

    def _words(self) -> str:
        if self.section:
            return "a list" if self.is_list else "a section"
        if self.is_list:
            return f"a list; each {word(self.item)}"
        if self.is_mapping:
            return "a mapping"
        return f"text of {self.form}" if self.form else word(self.kind)


@cache
def settings_of(section: type[Section]) -> Mapping[str, Setting]:
    """Return the settings of a section by name, in the order of the class."""
    return {
        name: Setting(name, field, _plain(field.annotation), section)
        for name, field in section.model_fields.items()
    }


def find(path: Path) -> tuple[Path, Setting | None]:
    """Follow a path, such as one of pydantic's, as far as there are settings.

    Returns:
        The part of the path that names a setting, an item of it or a key in it, and
        the setting; None where the path leads to the whole configuration or nowhere.
    """
    section: type[Section] | None = Settings
    setting: Setting | None = None
    for place, part in enumerate(path):
        if isinstance(part, int):
            continue
        if section is None or (found := settings_of(section).get(part)) is None:
            # A key of a free mapping belongs to the path; names of types do not.
            keep = place + 1 if setting and setting.is_mapping else place
            return path[:keep], setting
        setting, section = found, found.section
    return path, setting


def walk(
    section: type[Section] = Settings, at: Path = ()
) -> Iterator[tuple[Path, Setting]]:
    """Yield every setting with its path; items of a list of sections have the place 0."""
    for name, setting in settings_of(section).items():
        path = (*at, name)
        yield path, setting
        if setting.section:
            yield from walk(setting.section, (*path, 0) if setting.is_list else path)


def _plain(annotation: Any) -> Any:  # noqa: ANN401  (types)
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        kinds = [one for one in get_args(annotation) if one is not type(None)]
        return _plain(kinds[0]) if len(kinds) == 1 else annotation
    return annotation


def _inner(annotation: Any) -> Iterator[object]:  # noqa: ANN401
    """Yield what Annotated adds to a type inside of `... | None` or of a list."""
    yield from getattr(annotation, "__metadata__", ())
    if get_origin(annotation) is not dict:
        for inner in get_args(annotation):
            yield from _inner(inner)


def word(kind: Any) -> str:  # noqa: ANN401
    """Return what a value of a type is called."""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"one of {', '.join(str(member.value) for member in kind)}"
    return _WORDS.get(kind, "a value")


def _json(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Enum):
        return value.value
    return value.model_dump(mode="json") if isinstance(value, Section) else value
