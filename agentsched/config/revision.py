"""A configuration that was read again: what of it counts at once; pure.

What a process reads only when it starts keeps its old value whole, so that all parts of
the process go by the same settings.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from agentsched.config.catalogue import Setting, settings_of
from agentsched.config.masking import shown
from agentsched.config.section import DottedKeys, Path, Section, named
from agentsched.config.settings import Settings
from agentsched.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that the new configuration changes.

    Attributes:
        path: the setting, as it stands in the new configuration.
        setting: what is known of it.
        old: its value until now, in JSON's types.
        new: its value in the new configuration.
    """

    path: Path
    setting: Setting
    old: Any
    new: Any

    def __str__(self) -> str:
        """Name it with both values, secrets hidden."""
        key, setting = str(self.path[-1]), self.setting
        old, new = (_text(shown(one, setting, key)) for one in (self.old, self.new))
        return f"{named(self.path)} stays {old}, the configuration says {new}"


@dataclass(frozen=True, slots=True)
class Revision:
    """What becomes of a bridge's settings.

    Attributes:
        settings: those in force from now on.
        of_bridges: changes that a bridge takes only when it is started anew.
        of_workers: changes that workers take only when they are started anew.
    """

    settings: Settings
    of_bridges: tuple[Change, ...]
    of_workers: tuple[Change, ...]


def revise(current: Settings, new: Settings) -> Revision:
    """Return what of a new configuration a running bridge takes.

    Args:
        current: the settings in force.
        new: valid by themselves.

    Raises:
        ConfigurationError: the rest does not go together with what stays.
    """
    changes = tuple(_changes(Settings, current, new, ()))
    of_bridges = tuple(
        each for each in changes if each.setting.applies.restarts_bridges
    )
    try:
        merged = Settings.model_validate(_kept(Settings, current, new))
    except ValidationError as error:
        keys = ", ".join(named(each.path) for each in of_bridges)
        detail = "; ".join(each["msg"] for each in error.errors())
        raise ConfigurationError(
            f"the new configuration does not go together with {keys}, which stays as it"
            f" is until the bridge is started anew: {detail}"
        ) from None
    of_workers = (each for each in changes if each.setting.applies.restarts_workers)
    return Revision(merged, of_bridges, tuple(of_workers))


def _kept(section: type[Section], current: Any, new: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the new values, and the old ones of what needs a restart."""
    values: dict[str, Any] = {}
    for name, setting in settings_of(section).items():
        old, value = getattr(current, name), getattr(new, name)
        if setting.section and not setting.is_list:
            values[name] = _kept(setting.section, old, value)
        else:
            values[name] = old if setting.applies.restarts_bridges else value
    return values


def _changes(
    section: type[Section],
    current: Any,  # noqa: ANN401  (a section)
    new: Any,  # noqa: ANN401
    at: Path,
) -> Iterator[Change]:
    for name, setting in settings_of(section).items():
        path, old, value = (*at, name), getattr(current, name), getattr(new, name)
        if old == value:
            continue
        if setting.section is None:
            yield from _values(path, setting, old, value)
        elif not setting.is_list:
            yield from _changes(setting.section, old, value, path)
        else:
            yield from _items(setting.section, old, value, path)


def _values(
    path: Path,
    setting: Setting,
    old: Any,  # noqa: ANN401
    new: Any,  # noqa: ANN401
) -> Iterator[Change]:
    if not setting.marked(DottedKeys):
        yield Change(path, setting, _listed(old), _listed(new))
        return
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield Change((*path, key), setting, old.get(key), new.get(key))


def _items(
    section: type[Section],
    old: tuple[Section, ...],
    new: tuple[Section, ...],
    at: Path,
) -> Iterator[Change]:
    """Compare items of the same name; what is new or gone changes nobody else."""
    before = {_identity(item, place): item for place, item in enumerate(old)}
    for place, item in enumerate(new):
        other = before.get(_identity(item, place))
        if other is not None:
            yield from _changes(section, other, item, (*at, place))


def _identity(item: Any, place: int) -> Any:  # noqa: ANN401
    """What names an item: endpoints have only their place."""
    fields = type(item).model_fields
    return next((getattr(item, key) for key in ("id", "name") if key in fields), place)


def _listed(value: Any) -> Any:  # noqa: ANN401
    return list(value) if isinstance(value, tuple) else value


def _text(value: Any) -> str:  # noqa: ANN401
    return "unset" if value is None else json.dumps(value)
