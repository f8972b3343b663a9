"""A server's JSON as values that every reader of a reply takes; pure, and lenient.

A call is paid when its answer comes: what is odd beside the answer costs no answer.
"""

import json
import math
import re

from agentsched.wire.json import DOUBLE_DIGITS, read_plainly

MAX_LEVELS = 64
"""Of what a reply repeats; a reader of ours takes 100, the reply around it included."""
_HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")


class TooDeepError(ValueError):
    """Nested deeper than `MAX_LEVELS`."""


def read_json(body: bytes) -> object:
    """Read any JSON; a number that others cannot hold is None.

    Raises:
        ValueError: it is no JSON, or so deep that it cannot be parsed.
    """
    plain = read_plainly(body)
    if plain is not None:
        return plain
    try:
        return json.loads(
            body.decode(json.detect_encoding(body), "replace"),
            strict=False,
            parse_float=_float,
            parse_int=_int,
            parse_constant=lambda _: None,
        )
    except RecursionError:
        raise TooDeepError from None


def clean(value: object, levels: int = MAX_LEVELS) -> object:
    """Return what was read, with only text in it that can be written.

    Args:
        value: read by `read_json`.
        levels: how deep objects and lists may be nested.

    Raises:
        TooDeepError: they are deeper.
    """
    if isinstance(value, str):
        return clean_text(value)
    if not isinstance(value, dict | list):
        return value
    if not levels:
        raise TooDeepError
    if isinstance(value, list):
        return [clean(each, levels - 1) for each in value]
    return {clean_text(k): clean(each, levels - 1) for k, each in value.items()}


def clean_text(text: str) -> str:
    """Replace half surrogate pairs, which cannot be written."""
    return _HALF_OF_A_PAIR.sub("\N{REPLACEMENT CHARACTER}", text)


def is_blank(value: object, levels: int = 4) -> bool:
    """Whether nothing is said: null, "", 0, or an object or list of such."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return levels > 0 and all(is_blank(each, levels - 1) for each in value)
    return not value.strip() if isinstance(value, str) else not value


def _float(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _int(text: str) -> int | None:
    return int(text) if len(text.lstrip("-")) <= DOUBLE_DIGITS else None
