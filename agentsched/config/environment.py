"""Variables -> settings: which variable sets what, and how its text is read.

Published variables keep their names; every other setting has `AGENTSCHED__SECTION__KEY`.
It reads no environment by itself.
"""

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any

from agentsched.config.catalogue import Setting, find, settings_of, walk
from agentsched.config.draft import Draft, Origin
from agentsched.config.masking import shown_in_error
from agentsched.config.problems import Problem
from agentsched.config.section import DottedKeys, Path, Section, named
from agentsched.config.settings import Settings
from agentsched.config.spelling import BYTE_ORDER_MARK, QUOTES, fault_of

PREFIX = "AGENTSCHED__"
NUMBER = r"__(\d+)(?=__)"
CONFIG_VARIABLE = "AGENTSCHED_CONFIG"
PUBLISHED: Mapping[str, Path] = {
    "BOOTSTRAP_SERVERS": ("kafka", "bootstrap_servers"),
    "INPUT_TOPICS": ("kafka", "input_topics"),
    "OUTPUT_TOPIC": ("kafka", "output_topic"),
    "REDIS_URL": ("redis", "url"),
    "SGLANG_BASE_URL": ("default_endpoint", "base_url"),
}
KEY_VARIABLE = "LLM_API_KEY"
"""The key of the default endpoint: read by workers, shown nowhere."""
OUR_ENVIRONMENT = frozenset({*PUBLISHED, KEY_VARIABLE})
"""Published variables, which would win over the file."""


def variable(path: Path) -> str:
    """Return the variable of a setting: `AGENTSCHED__LIMITS__TTL_S`."""
    return PREFIX + "__".join(str(part).upper() for part in path)


def apply_environment(draft: Draft, environ: Mapping[str, str]) -> list[Problem]:
    """Put the values of variables over those of the file.

    AGENTSCHED__ variables win over published ones, and shorter names are read first:
    a whole list, then an item of it. An empty variable counts as not set.
    """
    problems = []
    for name, path in PUBLISHED.items():
        if text := environ.get(name):
            problems += _put(draft, path, name, text)
    ours = [name for name in environ if name.startswith(PREFIX)]
    for name in sorted(ours, key=lambda each: (each.count("__"), each)):
        found = _path_of(name.removeprefix(PREFIX).split("__"))
        if found is None:
            problems.append(_unknown(name))
        elif text := environ[name]:
            problems += _put(draft, found, name, text)
    return problems


def _path_of(parts: list[str]) -> Path | None:
    """Return the path of a setting that has a variable, or None."""
    path: Path = ()
    section: type[Section] | None = Settings
    setting: Setting | None = None
    for place, part in enumerate(parts):
        if setting and setting.is_list and setting.section and setting.name == path[-1]:
            if not part.isdecimal():
                return None
            path = (*path, int(part))
        elif section:
            setting = settings_of(section).get(part.lower()) if part.isupper() else None
            if setting is None:
                return None
            path, section = (*path, setting.name), setting.section
        elif setting and setting.marked(DottedKeys):
            key = "_".join(parts[place:]).lower().replace("_", ".")
            return (*path, key)
        else:
            return None
    whole = setting is not None and setting.name == path[-1]
    return path if setting and whole and has_variable(setting) else None


def has_variable(setting: Setting) -> bool:
    """Whether a setting can be set as a whole: a section is set key by key."""
    return setting.section is None or setting.is_list


def _put(draft: Draft, path: Path, name: str, text: str) -> list[Problem]:
    _, setting = find(path)
    origin = Origin(variable=name)
    if setting is None:
        raise LookupError(named(path))
    many = setting.is_list or (setting.is_mapping and setting.name == path[-1])
    if many and text.strip().startswith((*QUOTES, BYTE_ORDER_MARK)):
        return [Problem(path, str(fault_of(text.strip())), origin)]
    try:
        value = _read(text, setting, whole=setting.name == path[-1])
    except ValueError as error:
        value = None if setting.is_mapping else shown_in_error(text, setting)
        return [Problem(path, str(error), origin, value)]
    if draft.put(path, value, origin):
        return []
    return [Problem(path, f"there is no {_missing(draft, path)} to set it in", origin)]


def _read(text: str, setting: Setting, *, whole: bool) -> Any:  # noqa: ANN401
    """Turn a variable's text into a value; scalars stay text, validation reads them."""
    text = text.strip()
    if whole and setting.is_mapping:
        return _json(text, dict, "a JSON object")
    if not setting.is_list:
        return text
    if text.startswith("["):
        return _json(text, list, "a JSON list")
    if setting.section:
        raise ValueError("takes a JSON list, such as [{...}]")
    return [item.strip() for item in text.split(",") if item.strip()]


def _json(text: str, kind: type, words: str) -> Any:  # noqa: ANN401
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise ValueError(f"takes {words}, and this is none")  # noqa: TRY004
    return value


def _missing(draft: Draft, path: Path) -> str:
    """Name the first item on the way that is not there."""
    for end, part in enumerate(path, 1):
        if isinstance(part, int) and draft.get(path[:end]) is None:
            return named(path[:end])
    return named(path[:-1])


def _unknown(name: str) -> Problem:
    """Name the nearest variable, with the numbers of items as they were given."""
    numbers = re.findall(NUMBER, name)
    known = [variable(path) for path, setting in walk() if has_variable(setting)]
    asked = re.sub(NUMBER, "__0", name.upper())
    near = difflib.get_close_matches(asked, known, n=1)
    if not near:
        text = "unknown variable; `agentsched config reference` lists all"
    else:
        given = iter(numbers)
        right = re.sub(NUMBER, lambda zero: f"__{next(given, zero[1])}", near[0])
        text = f"unknown variable; did you mean {right}?"
    return Problem((), text, Origin(variable=name))
