"""YAML text -> values and the line of each; it knows no setting.

It refuses what YAML would let pass silently: a key that stands twice, a key that is no
text, a document that contains itself.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from agentsched.config.draft import Draft, Origin
from agentsched.config.problems import InvalidSettings, Problem
from agentsched.config.section import Path

MAX_FILE_CHARACTERS = 4_194_304
MAX_DEPTH = 20
MAX_VALUES = 1_000_000
"""Aliases of aliases make a short text endless."""
MERGE = "tag:yaml.org,2002:merge"
DATE = "tag:yaml.org,2002:timestamp"
TEXT = "tag:yaml.org,2002:str"


class _Loader(yaml.SafeLoader):
    """Reads dates as text: names of models end in some."""


_Loader.yaml_implicit_resolvers = {
    first: [rule for rule in rules if rule[0] != DATE]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(text: str, source: str) -> Draft:
    """Read a document.

    Args:
        text: the document; empty for none.
        source: how errors name it.

    Raises:
        InvalidSettings: names source, line and fix.
    """
    if len(text) > MAX_FILE_CHARACTERS:
        more = f"more than {MAX_FILE_CHARACTERS} characters: is it the configuration?"
        raise _refused(source, 0, more)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return Draft()
        lines = _lines(node, source)
        data = loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _explained(error, source) from None
    if data is None:
        return Draft()
    if not isinstance(data, dict):
        wish = "must be a mapping of sections such as `kafka:` and `models:`"
        raise _refused(source, 0, wish)
    return Draft(
        _unshared(data), {path: Origin(source, line) for path, line in lines.items()}
    )


def _unshared(value: Any) -> Any:  # noqa: ANN401  (any value of YAML)
    """Copy what an alias made one object of: a change at one place stays there."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def _lines(node: yaml.Node, source: str) -> dict[Path, int]:
    lines: dict[Path, int] = {}
    problems: list[Problem] = []
    for count, (path, line, own) in enumerate(_walk(node, (), source)):
        if count > MAX_VALUES:
            raise _refused(source, line, f"more than {MAX_VALUES} values")
        if own and path in lines:
            text = f"stands in line {lines[path]} already: keep one of them"
            problems.append(Problem(path, text, Origin(source, line)))
        lines.setdefault(path, line)
    if problems:
        raise InvalidSettings(source, problems)
    return lines


def _walk(
    node: yaml.Node, path: Path, source: str, *, own: bool = True
) -> Iterator[tuple[Path, int, bool]]:
    """Yield path, line, and whether it is a key of the mapping's own (not merged in)."""
    if len(path) > MAX_DEPTH:
        text = f"nested deeper than {MAX_DEPTH} levels; does an alias contain itself?"
        raise _refused(source, node.start_mark.line + 1, text)
    if isinstance(node, yaml.SequenceNode):
        for place, item in enumerate(node.value):
            yield (*path, place), item.start_mark.line + 1, False
            yield from _walk(item, (*path, place), source)
    if isinstance(node, yaml.MappingNode):
        merged = [value for key, value in node.value if key.tag == MERGE]
        for key, value in node.value:
            if key.tag == MERGE:
                continue
            line = key.start_mark.line + 1
            if key.tag != TEXT:
                raise _refused(source, line, "a key must be text: put it in quotes")
            yield (*path, key.value), line, own
            yield from _walk(value, (*path, key.value), source)
        for one in merged:
            several = one.value if isinstance(one, yaml.SequenceNode) else [one]
            for each in several:
                yield from _walk(each, path, source, own=False)


def _explained(error: Exception, source: str) -> InvalidSettings:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    text = getattr(error, "problem", None) or getattr(error, "reason", None)
    # No snippet of the text, which may hold a password.
    what = f"not valid YAML: {text or 'a value cannot be read'}"
    return _refused(source, mark.line + 1 if mark else 0, what)


def _refused(source: str, line: int, text: str) -> InvalidSettings:
    return InvalidSettings(source, [Problem((), text, Origin(source, line))])
