"""A complete commented `agentsched.yaml`: every setting, its sentence, its default.

Prose starts with `# `, a default with `#`, so that the one can be told from the other.
"""

import re
import textwrap
from collections.abc import Iterator

import yaml

from agentsched.config.catalogue import Setting, settings_of
from agentsched.config.section import Section
from agentsched.config.settings import Settings

WIDTH = 80
INDENT = "  "
HEAD = """\
# Configuration of AgentSched, complete. Written by `agentsched config sample`.
#
# `#key: value` is a default: remove the `#` to change it, in the line of its section,
# too. Variables win over this file: AGENTSCHED__LIMITS__TTL_S=30, REDIS_URL=...
# `agentsched config check` says what is wrong, `agentsched config show` what counts.
"""


def sample() -> str:
    """Return the file; it loads as it is."""
    return "\n".join([HEAD, *_section(Settings, "")])


def _section(section: type[Section], indent: str) -> Iterator[str]:
    for setting in settings_of(section).values():
        yield from _prose(setting, indent)
        yield from _setting(setting, indent)
        if not indent:
            yield ""


def _setting(setting: Setting, indent: str) -> Iterator[str]:
    mark = "" if _is_live(setting) else "#"
    if setting.section is None:
        value = setting.default if setting.example is None else setting.example
        yield f"{indent}{mark}{setting.name}: {_flow(value)}"
        return
    yield f"{indent}{mark}{setting.name}:"
    below = _section(setting.section, indent + INDENT * (1 + setting.is_list))
    if not setting.is_list:
        yield from below
        return
    # The first key is the start of an item.
    key = rf"(?m)^({indent}{INDENT}){INDENT}(#?)(?=\w)"
    yield re.sub(key, r"\1\2- ", "\n".join(below), count=1)


def _is_live(setting: Setting) -> bool:
    """Whether the sample shows it as set: there is an example, of it or below it."""
    if setting.section:
        return any(map(_is_live, settings_of(setting.section).values()))
    return setting.example is not None


def _prose(setting: Setting, indent: str) -> list[str]:
    text = setting.sentence
    if setting.section is None and not setting.is_mapping and setting.kind is not str:
        text += f" ({setting.allowed})"
    mark = f"{indent}# "
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=mark,
        subsequent_indent=mark,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _flow(value: object) -> str:
    """Write a value on one line."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return text.removesuffix("...\n").strip()
