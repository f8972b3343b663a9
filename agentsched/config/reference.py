"""What there is to set, for people (`docs/reference/configuration.md`) and for editors."""

from collections.abc import Iterator
from typing import Any

from agentsched.config.catalogue import Setting, settings_of, walk
from agentsched.config.environment import KEY_VARIABLE, PREFIX, PUBLISHED
from agentsched.config.section import (
    Inactive,
    Path,
    Published,
    Secret,
    Section,
    named,
)
from agentsched.config.settings import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
HEAD = """\
# Configuration

<!-- Written by `agentsched config reference`; a test compares the two. -->

One YAML file, the same for bridges, workers and commands, and the environment over it.
The file is the one that `AGENTSCHED_CONFIG` names, else `agentsched.yaml` in the
working directory. [examples/agentsched.yaml](../../examples/agentsched.yaml) is a
complete one, with comments.

| command | prints |
|---|---|
| `agentsched config check` | everything that is wrong, with line, value and fix; exit code 0 or 2 |
| `agentsched config show` | what counts, and where each value comes from; secrets are hidden |
| `agentsched config sample` | a complete file with comments |
| `agentsched config schema` | a JSON schema, for editors |
| `agentsched config reference` | this page |

`check` and `show` take `--json`.

## What wins

1. `AGENTSCHED__SECTION__KEY`
2. the published variables
3. the file
4. the default

A variable that is empty counts as not set. Lists are given with commas or in JSON, lists
of sections and mappings in JSON:

    AGENTSCHED__LIMITS__TTL_S=30
    AGENTSCHED__KAFKA__INPUT_TOPICS=high_priority,low_priority
    AGENTSCHED__AGENTS='[{"id": "planner", "max_priority": "medium"}]'

Items of a list are counted from 0, keys of `kafka.properties` have `_` for their dots:

    AGENTSCHED__MODELS__0__ENDPOINTS__0__CAPACITY=7
    AGENTSCHED__KAFKA__PROPERTIES__SASL_PASSWORD=...

A variable that starts with `AGENTSCHED__` and names no setting is an error, like an unknown
key of the file. Other variables are none of ours (`AGENTSCHED_CONFIG` is).

Passwords belong into variables: the file then holds none. No password is shown in an
error, a log line or by `agentsched config show`.

## What a change needs

Each setting says so in the column "applies":

| applies | a change counts |
|---|---|
| reload | when the bridges get SIGHUP; workers do not read it |
| reload; workers: restart | for bridges at SIGHUP, for workers when they are started anew |
| restart | when bridges and workers are started anew |
| restart of bridges, of workers | when these are started anew; the others do not read it |
| - | nothing: it is not active yet |

At SIGHUP a bridge applies the first two at once and keeps the old value of the others; it
logs `configuration_needs_restart` with their names. Commands read the file each time.

## Published variables

| variable | instead of |
|---|---|"""


def reference() -> str:
    """Return the page, in Markdown."""
    rows = [f"| `{name}` | `{named(path)}` |" for name, path in PUBLISHED.items()]
    rows.append(f"| `{KEY_VARIABLE}` | the key of the default endpoint |")
    plain = [each for each in settings_of(Settings).values() if not each.section]
    top = ["", "## At the top", "", *_table(plain)]
    sections = _sections(Settings, ())
    return "\n".join([HEAD, *rows, *top, *sections]) + "\n"


def _sections(section: type[Section], at: Path) -> Iterator[str]:
    for name, setting in settings_of(section).items():
        if setting.section is None:
            continue
        path = (*at, name, 0) if setting.is_list else (*at, name)
        title = named(path).replace("[0]", "[]")
        words = f"{setting.sentence} A list." if setting.is_list else setting.sentence
        variables = PREFIX + "__".join(str(part).upper() for part in path)
        yield from ("", f"## `{title}`", "", words)
        yield from (f"Variables: `{variables}__KEY`.", "")
        inside = settings_of(setting.section).values()
        yield from _table([each for each in inside if not each.section])
        yield from _sections(setting.section, path)


def _table(settings: list[Setting]) -> Iterator[str]:
    yield "| key | default | allowed | applies | what it is |"
    yield "|---|---|---|---|---|"
    for setting in settings:
        default = f"`{setting.default_text}`" if setting.default_text else "required"
        words = setting.sentence
        if published := setting.marked(Published):
            words += f" `{published.name}` in the published sample."
        applies = "-" if setting.marked(Inactive) else str(setting.applies)
        cells = (f"`{setting.name}`", default, setting.allowed, applies, words)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def json_schema() -> dict[str, Any]:
    """Return what a configuration file must look like, with every sentence."""
    schema = Settings.model_json_schema()
    definitions = schema.get("$defs", {})
    sections: set[type[Section]] = {Settings}
    sections |= {each.section for _, each in walk() if each.section}
    for section in sections:
        whole = schema if section is Settings else definitions[section.__name__]
        _complete(whole["properties"], section)
    for name, setting in settings_of(Settings).items():
        if setting.section:
            # A section with all its keys commented out is null.
            properties = schema["properties"]
            properties[name] = {"anyOf": [properties[name], {"type": "null"}]}
    return {"$schema": DIALECT} | schema | {"title": "agentsched.yaml"}


def _complete(properties: dict[str, Any], section: type[Section]) -> None:
    for name, setting in settings_of(section).items():
        properties[name]["description"] = setting.sentence
        if setting.marked(Secret):
            properties[name]["writeOnly"] = True
        if published := setting.marked(Published):
            note = f"The published name of `{name}`."
            properties[published.name] = properties[name] | {"description": note}
