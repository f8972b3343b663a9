"""The configuration that counts, value by value, with where each came from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agentsched.config.catalogue import Setting, settings_of
from agentsched.config.draft import Origin
from agentsched.config.loader import LoadedSettings
from agentsched.config.mask import shown
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
    draft = loaded.draft
    return [
        Value(
            path,
            shown(value, setting, str(path[-1])),
            draft.origin(path) if draft.has(path) else Origin(),
        )
        for path, setting, value in leaves(loaded.settings.model_dump(mode="json"))
    ]


def leaves(
    data: dict[str, Any], section: type[Section] = Settings, at: Path = ()
) -> Iterator[tuple[Path, Setting, Any]]:
    """Yield every value with its path and setting; of an empty list or mapping, itself.

    Args:
        data: settings in JSON's types.
        section: what `data` is of.
        at: where that is.
    """
    for name, setting in settings_of(section).items():
        path, value = (*at, name), data[name]
        if setting.section and not setting.is_list:
            yield from leaves(value, setting.section, path)
        elif setting.section and value:
            for place, item in enumerate(value):
                yield from leaves(item, setting.section, (*path, place))
        elif setting.marked(DottedKeys) and value:
            yield from (((*path, key), setting, one) for key, one in value.items())
        else:
            yield path, setting, value
