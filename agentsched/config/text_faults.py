"""What a text holds that nobody can have meant: quotes, placeholders, line ends; pure.

A shell or `docker compose` takes quotes off and fills `${NAME}` in; a YAML file,
`docker --env-file` and a key file do not. No sentence that it makes holds the text.
"""

import re
from collections.abc import Iterator
from typing import Any

from agentsched.config.catalogue import Setting, find
from agentsched.config.draft import Draft
from agentsched.config.mask import is_secret_key, shown_in_error
from agentsched.config.problems import Problem
from agentsched.config.redis_url import parse_redis_url
from agentsched.config.section import Address, DottedKeys, Path, Secret

QUOTES = "\"'`\u201c\u201d\u2018\u2019"
BYTE_ORDER_MARK = "\ufeff"
_FILLED_IN = r"\$\{[^}]*\}|\$\([^)]*\)|\{\{.*?\}\}|<[A-Za-z][\w .-]*>"
_VARIABLE = r"\$[A-Z][A-Z0-9_]{2,}|%[A-Z][A-Z0-9_]{2,}%"
"""In capitals: `$ConnectionString` is a user of Event Hubs, `%C3%` a part of a URL."""
_PLACEHOLDER = re.compile(rf"{_FILLED_IN}|({_VARIABLE}|\$[A-Z]+)(?!\w)")
_SECRET_PLACEHOLDER = re.compile(
    # Whole, and no `$name`: a password may have a part that looks like one.
    rf"({_FILLED_IN}|{_VARIABLE})"
)
_DUMMY = re.compile(
    # Not `sk-1234` or `my-secret`: local servers are given such keys, and take them.
    r"(change|replace|fill)[-_ ]?(me|this|it|in)|\*{3,}|\.{3,}"
    r"|(sk-)?your[-_ ]([\w-]*[-_ ])?(api[-_ ]?key|key|token|password|secret)"
    r"([-_ ]?here)?|sk-(\.{3,}|\*{3,})",
    re.IGNORECASE,
)
_ASSIGNMENT = re.compile(r"(export\s+)?[A-Z][A-Z0-9_]*=.")
_SCHEME = re.compile(
    r"(authorization:|api-key:|x-api-key:|bearer\b|basic\s)", re.IGNORECASE
)
_MARKED = "begins with a byte order mark: save it as UTF-8 without one (no BOM)"
_UNSEEN = "holds a line end or another character that cannot be seen: remove it"
_QUOTED = (
    "stands in quotes, which are taken as a part of it: take them off"
    " (docker --env-file and key files keep them)"
)
_NOT_FILLED_IN = (
    "holds a placeholder such as ${NAME}, and nothing is filled in here: write the value"
    " itself, or set the variable AGENTSCHED__SECTION__KEY instead"
)
_OF_AN_EXAMPLE = "is the placeholder of an example: put the real one there"


def fault_of(text: str, *, is_secret: bool = False) -> str | None:
    """Return what is wrong with a text and how to mend it; None: nothing.

    Args:
        text: any value.
        is_secret: only what no password can be is wrong with it.
    """
    placeholder = _SECRET_PLACEHOLDER.fullmatch if is_secret else _PLACEHOLDER.search
    return _first(
        (text.startswith(BYTE_ORDER_MARK), _MARKED),
        (text != text.strip(), "has white space or a line end around it: take it off"),
        (not text.isprintable(), _UNSEEN),
        (_is_quoted(text, is_secret=is_secret), _QUOTED),
        (placeholder(text), _NOT_FILLED_IN),
        (is_secret and _DUMMY.fullmatch(text), _OF_AN_EXAMPLE),
    )


def fault_of_key(key: str) -> str | None:
    """Return what is wrong with an API key and how to mend it; None: nothing."""
    return _first(
        ("\n" in key.strip(), "holds more than one line: leave only the key"),
        (fault := fault_of(key, is_secret=True), fault),
        (_SCHEME.match(key), "begins like a header (`Bearer ...`): leave only the key"),
        (_ASSIGNMENT.match(key), "holds NAME=KEY: leave only what is behind the `=`"),
    )


def _first(*faults: tuple[object, str | None]) -> str | None:
    return next((words for wrong, words in faults if wrong), None)


def misspelled(draft: Draft) -> Iterator[Problem]:
    """Yield what is wrong with the texts of a configuration, wherever they come from."""
    for path, text in _texts(draft.data, ()):
        whole, setting = find(path)
        if setting is None or whole != path:
            continue  # an unknown key is refused anyway
        if fault := _fault(text, path, setting):
            value = shown_in_error(text, setting, str(path[-1]))
            yield Problem(path, fault, draft.origin(path), value)


def _fault(text: str, path: Path, setting: Setting) -> str | None:
    key = str(path[-1])
    if setting.is_mapping and not setting.marked(DottedKeys):
        return None  # not ours to judge
    if key.endswith(".pem"):
        return None  # has lines
    if setting.marked(Address):
        return fault_of(text) if "@" not in text else _fault_of_login(text)
    is_secret = bool(setting.marked(Secret)) or (
        setting.is_mapping and is_secret_key(key)
    )
    return fault_of(text, is_secret=is_secret)


def _fault_of_login(url: str) -> str | None:
    if fault := fault_of(url, is_secret=True):
        return fault
    try:
        address = parse_redis_url(url)
    except ValueError:
        return None  # validation says what is wrong with it
    for part in (address.username, address.password):
        if part and (fault := fault_of(part, is_secret=True)):
            return f"has a user or password that {fault}"
    return next(filter(None, (fault_of(host) for host, _ in address.hosts)), None)


def _is_quoted(text: str, *, is_secret: bool) -> bool:
    first, last = text[:1], text[-1:]
    if is_secret:
        return len(text) > 1 and first in QUOTES and last in QUOTES
    # One of an address: a quoted list was split. Elsewhere an apostrophe may end a name.
    both = len(text) > 1 and first in QUOTES and last in QUOTES
    return both or (":" in text and (first in QUOTES or last in QUOTES))


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:  # noqa: ANN401
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _texts(item, (*path, place))
