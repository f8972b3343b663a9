"""Where log lines go: what has no room there is dropped and counted, never raised.

Logging belongs to the whole process, and so does the count. It formats nothing.
"""

import logging
from logging.handlers import WatchedFileHandler

from prometheus_client import Counter

from agentsched.telemetry.metrics import LOG_LINES_LOST

lost_lines = Counter(LOG_LINES_LOST.name, LOG_LINES_LOST.description, registry=None)
"""How many lines of this process could not be written, since its begin."""


class _Counting(logging.Handler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Count the line; to print it could show what is in it."""
        del record
        lost_lines.inc()


class LineStream(_Counting, logging.StreamHandler):  # type: ignore[type-arg]  # only typeshed's has arguments
    """Writes to stderr."""


class LineFile(_Counting, WatchedFileHandler):
    """Writes to a file; one that was moved away is made again."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; where the file cannot be opened again, drop it."""
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)
