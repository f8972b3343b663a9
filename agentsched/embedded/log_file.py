"""Owns a child's log file: appends to it, and quotes its end when the child died."""

import os
from pathlib import Path

TAIL_LINES = 12
TAIL_BYTES = 4096


class LogFile:
    """A log that several runs append to.

    Args:
        path: made with its folder, readable by the owner only.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._start = path.stat().st_size

    def fileno(self) -> int:
        """Where a child writes to."""
        return self._file

    def close(self) -> None:
        """Close our copy; children keep theirs. May be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def quote(self) -> str:
        """Name the file and quote the last lines of this run."""
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._start, size - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
        lines = text.rstrip().splitlines()[-TAIL_LINES:]
        if not lines:
            return f"its log {self.path} is empty"
        return f"its log {self.path} ends with:\n" + "\n".join(f"  {x}" for x in lines)
