"""Where log lines go: what has no room there is dropped and counted, never raised.

Logging belongs to the whole process, and so does the count. It formats nothing.
"""

import logging
from collections.abc import Callable
from logging.handlers import WatchedFileHandler


class LostLines:
    """How many lines of this process could not be written."""

    def __init__(self) -> None:
        self._count = 0
        self._report: Callable[[int], None] | None = None

    def add(self) -> None:
        """Count one more; called under the handler's lock."""
        if self._report is None:
            self._count += 1
        else:
            self._report(1)

    def report_to(self, report: Callable[[int], None]) -> None:
        """Say how many there were so far, and from now on each."""
        self._report = report
        earlier, self._count = self._count, 0
        report(earlier)


lost_lines = LostLines()
"""Of this process."""


class _Counting(logging.Handler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Count the line; to print it could show what is in it."""
        del record
        lost_lines.add()


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
