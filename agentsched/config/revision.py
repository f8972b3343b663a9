"""A configuration that was read again: what of it counts at once; pure.

What a process reads only when it starts keeps its old value whole, so that all parts of
the process go by the same settings.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from agentsched.config.catalogue import Setting
from agentsched.config.effective import leaves
from agentsched.config.mask import shown
from agentsched.config.section import DottedKeys, Path, named
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
    data: Any = new.model_dump(mode="json")
    changes = tuple(_changes(current.model_dump(mode="json"), data))
    of_bridges = tuple(
        each for each in changes if each.setting.applies.restarts_bridges
    )
    for each in of_bridges:
        section: Any = data
        for part in each.path[:-1]:
            section = section[part]
        section[each.path[-1]] = each.old
        if each.old is None and each.setting.marked(DottedKeys):
            del section[each.path[-1]]
    try:
        merged = Settings.model_validate(data)
    except ValidationError as error:
        keys = ", ".join(named(each.path) for each in of_bridges)
        detail = "; ".join(
            each["msg"].removeprefix("Value error, ") for each in error.errors()
        )
        raise ConfigurationError(
            f"the new configuration does not go together with {keys}, which stays as it"
            f" is until the bridge is started anew: {detail}"
        ) from None
    of_workers = (each for each in changes if each.setting.applies.restarts_workers)
    return Revision(merged, of_bridges, tuple(of_workers))


def _changes(current: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    """Compare value by value; an item that is new or gone changes no other."""
    before = {_place(path, current): each for path, *each in leaves(current)}
    after = {_place(path, new): (path, *each) for path, *each in leaves(new)}
    for place in after | before:
        path, setting, _ = after.get(place) or (place, *before[place])
        old, value = (side.get(place, (None,))[-1] for side in (before, after))
        is_one = place in before and place in after
        is_key = setting.marked(DottedKeys) and path[-1] != setting.name
        if (is_one or is_key) and old != value:
            yield Change(path, setting, old, value)


def _place(path: Path, data: Any) -> Path:  # noqa: ANN401  (settings in JSON's types)
    """Name the items on a path that have a name; endpoints have only their place."""
    place: list[str | int] = []
    for part in path:
        data = data[part]
        has_name = isinstance(part, int) and isinstance(data, dict)
        name = data.get("id") or data.get("name") if has_name else None
        place.append(part if name is None else f"={name}")
    return tuple(place)


def _text(value: Any) -> str:  # noqa: ANN401
    return "unset" if value is None else json.dumps(value)
