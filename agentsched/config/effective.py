"""The configuration that counts, value by value, with where each came from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agentsched.config.catalogue import Setting, settings_of
from agentsched.config.draft import Origin
from agentsched.config.loading import LoadedSettings
from agentsched.config.masking import shown
from agentsched.config.section import DottedKeys, Path, Section
from agentsched.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Value:
    """One value.

    Attributes:
        path: its setting.
        value: in JSON's types, without secrets.
        origin: where it came from; empty for a default.
    """

    path: Path
    value: Any
    origin: Origin

    @property
    def kind(self) -> str:
        """`default`, `file`, `variable`, or `derived` (from another setting)."""
        if self.origin.variable:
            return "variable"
        if self.origin.file:
            return "file"
        return "derived" if self.origin.derived else "default"


def effective(loaded: LoadedSettings) -> list[Value]:
    """Return every value, in the order of the reference."""
    data = loaded.settings.model_dump(mode="json")
    return [
        Value(path, value, loaded.draft.origin(path) if set_by_hand else Origin())
        for path, value, set_by_hand in _values(Settings, data, (), loaded)
    ]


def _values(
    section: type[Section], data: dict[str, Any], at: Path, loaded: LoadedSettings
) -> Iterator[tuple[Path, Any, bool]]:
    for name, setting in settings_of(section).items():
        path, value = (*at, name), data[name]
        if setting.section is None:
            yield from _leaves(setting, value, path, loaded)
        elif not setting.is_list:
            yield from _values(setting.section, value, path, loaded)
        elif not value:
            yield path, value, loaded.draft.has(path)
        else:
            for place, item in enumerate(value):
                yield from _values(setting.section, item, (*path, place), loaded)


def _leaves(
    setting: Setting,
    value: Any,  # noqa: ANN401  (any value of JSON)
    path: Path,
    loaded: LoadedSettings,
) -> Iterator[tuple[Path, Any, bool]]:
    if setting.marked(DottedKeys) and value:
        for key, one in value.items():
            yield (*path, key), shown(one, setting, key), True
    else:
        yield path, shown(value, setting), loaded.draft.has(path)
