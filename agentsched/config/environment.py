"""Variables -> settings: which variable sets what, and how its text is read.

Published variables keep their names; every other setting has `AGENTSCHED__SECTION__KEY`.
It reads no environment by itself.
"""

import difflib
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from agentsched.config.catalogue import Setting, walk
from agentsched.config.draft import Draft, Origin
from agentsched.config.mask import shown_in_error
from agentsched.config.problems import Problem
from agentsched.config.section import DottedKeys, Path, named
from agentsched.config.text_faults import BYTE_ORDER_MARK, QUOTES, fault_of

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
    ours = [name for name in environ if name.startswith(PREFIX)]
    ours.sort(key=lambda each: (each.count("__"), each))
    problems = []
    for name in (*PUBLISHED, *ours):
        if (found := _found(name)) is None:
            problems.append(_unknown(name))
        elif text := environ.get(name):
            problems += _put(draft, *found, name, text)
    return problems


@cache
def _variables() -> Mapping[str, tuple[Path, Setting]]:
    """Return every variable, with the place 0 for all items of lists."""
    return {variable(path): (path, each) for path, each in walk() if has_variable(each)}


def _found(name: str) -> tuple[Path, Setting] | None:
    """Return the setting that has this variable, or a key of a mapping that has."""
    name = variable(PUBLISHED[name]) if name in PUBLISHED else name
    numbers = map(int, re.findall(NUMBER, name))
    plain = re.sub(NUMBER, "__0", name)
    for known, (path, setting) in _variables().items():
        key = plain.removeprefix(f"{known}__")
        if plain == known:
            whole = (next(numbers) if part == 0 else part for part in path)
            return tuple(whole), setting
        if setting.marked(DottedKeys) and key != plain:
            return (*path, re.sub("_+", ".", key.lower())), setting
    return None


def has_variable(setting: Setting) -> bool:
    """Whether a setting can be set as a whole: a section is set key by key."""
    return setting.section is None or setting.is_list


def _put(
    draft: Draft, path: Path, setting: Setting, name: str, text: str
) -> list[Problem]:
    origin = Origin(variable=name)
    try:
        value = _read(text.strip(), setting, whole=setting.name == path[-1])
    except ValueError as error:
        value = None if setting.is_mapping else shown_in_error(text, setting)
        return [Problem(path, str(error), origin, value)]
    if draft.put(path, value, origin):
        return []
    return [Problem(path, f"there is no {named(path[:-1])} to set it in", origin)]


def _read(text: str, setting: Setting, *, whole: bool) -> Any:  # noqa: ANN401
    """Turn a variable's text into a value; scalars stay text, validation reads them."""
    if not setting.is_list and not (whole and setting.is_mapping):
        return text
    if text.startswith((*QUOTES, BYTE_ORDER_MARK)):
        raise ValueError(fault_of(text))
    if setting.is_mapping:
        return _json(text, dict, "a JSON object")
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


def _unknown(name: str) -> Problem:
    """Name the nearest variable, with the numbers of items as they were given."""
    numbers = iter(re.findall(NUMBER, name))
    asked = re.sub(NUMBER, "__0", name.upper())
    near = difflib.get_close_matches(asked, _variables(), n=1)
    text = "unknown variable; `agentsched config reference` lists all"
    if near:
        right = re.sub(NUMBER, lambda zero: f"__{next(numbers, zero[1])}", near[0])
        text = f"unknown variable; did you mean {right}?"
    return Problem((), text, Origin(variable=name))
