"""Takes PromQL expressions apart, as far as docs are held against what is exposed.

No evaluation: which series an expression asks for, how it groups them, and which
functions see them. What it does not understand raises.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

FUNCTIONS = frozenset(
    [
        "avg",
        "count",
        "histogram_quantile",
        "increase",
        "max",
        "min",
        "rate",
        "sum",
        "vector",
    ]
)
KEYWORDS = frozenset(
    ["and", "or", "unless", "by", "without", "offset", "bool", "on", "ignoring"]
)
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
MATCHER = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"\s*(?:,|$)')
SELECTOR = re.compile(r"(?<![\w.])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(\[[^\]]+\])?")
RATE = re.compile(r"\b(?:rate|increase)\s*\(\s*([a-zA-Z_:][\w:]*)")


@dataclass(frozen=True)
class Matcher:
    label: str
    operator: str
    value: str

    def takes(self, labels: dict[str, str]) -> bool:
        """Whether Prometheus would: it matches whole values, and a missing one as ''."""
        found = labels.get(self.label, "")
        same = (
            re.fullmatch(self.value, found) is not None
            if "~" in self.operator
            else found == self.value
        )
        return same != self.operator.startswith("!")


@dataclass(frozen=True)
class Selector:
    name: str
    matchers: tuple[Matcher, ...]
    is_range: bool

    def takes(self, labels: dict[str, str]) -> bool:
        return all(matcher.takes(labels) for matcher in self.matchers)


def grouping_labels(expression: str) -> set[str]:
    """All labels by which an expression groups."""
    lists = (found.group(1).split(",") for found in GROUPING.finditer(expression))
    return {label.strip() for labels in lists for label in labels}


def rated(expression: str) -> set[str]:
    """The names over which an expression takes a rate or an increase."""
    return set(RATE.findall(expression))


def selectors(expression: str) -> Iterator[Selector]:
    """Every selector of an expression, in order."""
    rest = GROUPING.sub(" ", expression)
    for found in SELECTOR.finditer(rest):
        name, braces, bracket = found.groups()
        if name in KEYWORDS:
            continue
        if rest[found.end() :].lstrip().startswith("(") or name in FUNCTIONS:
            if name not in FUNCTIONS:
                raise ValueError(f"{name}() is no function that is known here")
            continue
        yield Selector(name, tuple(_matchers(braces or "{}")), bracket is not None)


def _matchers(braces: str) -> Iterator[Matcher]:
    inner, at = braces[1:-1], 0
    while at < len(inner):
        found = MATCHER.match(inner, at)
        if found is None:
            raise ValueError(f"not a list of matchers: {braces}")
        yield Matcher(*found.groups())
        at = found.end()
