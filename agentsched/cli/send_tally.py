"""Counts what was sent and what has ended, and shows it; it sends nothing."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

MAX_NAMED = 10
"""Ids of outstanding requests that an interrupted command prints."""


class Tally:
    """What became of the requests of one command. Safe to use from several threads.

    Args:
        what: is counted by the progress bar.
    """

    def __init__(self, what: str) -> None:
        self._changed = threading.Condition()
        self._outstanding: dict[int, str] = {}
        self._sent = self._completed = self._failed = 0
        self._is_quiet = False
        self.is_output_gone = False
        """Nobody reads stdout any more."""
        self._console = Console(stderr=True)
        # On one terminal the lines themselves show how far it is.
        is_shown = self._console.is_terminal and not sys.stdout.isatty()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self._console,
            disable=not is_shown,
            redirect_stdout=False,
        )
        self._bar = self._progress.add_task(what, total=None)

    @property
    def is_good(self) -> bool:
        """Whether there was something, and all of it was completed."""
        return 0 < self._completed == self._sent and not self._failed

    @contextmanager
    def showing(self, *, interrupted: str) -> Iterator[None]:
        """Show the progress, and at the end the numbers.

        Args:
            interrupted: what is true of outstanding requests after Ctrl-C.
        """
        try:
            with self._progress:
                yield
        except KeyboardInterrupt:
            self._say_outstanding(interrupted)
            raise
        self._say(
            f"{self._sent} sent, {self._completed} completed, {self._failed} failed"
        )

    def sent(self, place: int, correlation_id: str) -> None:
        """One more is under way; `place` says which one, from 1."""
        with self._changed:
            self._sent += 1
            self._outstanding[place] = correlation_id
        self._show()

    def completed(self, place: int, line: str) -> None:
        """One has ended well; its line goes to stdout."""
        self.print(line)
        self._end(place, is_good=True)

    def failed(self, place: int, why: str) -> None:
        """One has failed, or was never sent; stderr says why."""
        if not self._is_quiet:
            self._say(f"request {place}: {why}", style="red")
        self._end(place, is_good=False)

    def print(self, line: str) -> None:
        """Write a line to stdout at once: who reads it may want to see it now."""
        with self._changed:
            if self.is_output_gone:
                return
            try:
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
            except BrokenPipeError:
                self.is_output_gone = self._is_quiet = True
                self._changed.notify_all()
                # What is left in the buffer must not fail again at the exit.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def wait(self) -> None:
        """Block until nothing is outstanding, or nobody reads stdout."""
        with self._changed:
            self._changed.wait_for(lambda: not self._outstanding or self.is_output_gone)

    def _end(self, place: int, *, is_good: bool) -> None:
        with self._changed:
            self._outstanding.pop(place, None)
            self._completed += is_good
            self._failed += not is_good
            self._changed.notify_all()
        self._show()

    def _show(self) -> None:
        ended = self._sent - len(self._outstanding)
        self._progress.update(self._bar, completed=ended, total=self._sent)

    def _say_outstanding(self, what_of_them: str) -> None:
        ids = list(self._outstanding.values())
        self._is_quiet = True
        named = ", ".join(ids[:MAX_NAMED])
        more = f" and {len(ids) - MAX_NAMED} more" if len(ids) > MAX_NAMED else ""
        self._say(
            f"interrupted: {self._sent} sent, {self._completed} completed,"
            f" {self._failed} failed, {len(ids)} outstanding"
        )
        if ids:
            self._say(f"{named}{more}: {what_of_them}")

    def _say(self, text: str, style: str | None = None) -> None:
        self._console.print(
            text, style=style, highlight=False, markup=False, soft_wrap=True
        )
