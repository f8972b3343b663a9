"""Keeps a log readable while Kafka is away: one line of a kind in half a minute.

A librdkafka consumer tries to connect twenty times a second, and says so each time. It
drops lines, and counts what it dropped; it writes none.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

EVERY_S = 30.0
MAX_KINDS = 200
_VARYING = re.compile(r"\d+ ?ms|#\w+-\d+")
"""What differs between two lines of a kind: how long it took, and which client it was."""


@dataclass(slots=True)
class _Kind:
    since_s: float
    dropped: int = 0


class Repeats(logging.Filter):
    """Lets the first line of a kind pass, and the next one after 30 s.

    Args:
        now_s: the clock.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now_s = now_s
        self._kinds: dict[str, _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is written; add to it how many like it were not."""
        text, now_s = record.getMessage(), self._now_s()
        name = _VARYING.sub("", text)
        kind = self._kinds.get(name)
        if kind is not None and now_s - kind.since_s < EVERY_S:
            kind.dropped += 1
            return False
        if len(self._kinds) >= MAX_KINDS:
            self._kinds.clear()
        self._kinds[name] = _Kind(now_s)
        if kind is not None and kind.dropped:
            record.msg, record.args = f"{text} (and {kind.dropped} more like it)", ()
        return True
