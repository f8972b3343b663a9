"""Runs suspects: requests that were in flight in two crashes, each in a process alone.

Only what crashes there is held against a request; so the innocent, who were in flight
beside it, are never taken for poison. It takes and hands in nothing.
"""

import asyncio
import contextlib
import logging
import os
import random
import selectors
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from agentsched.ledger.turns import Taken
from agentsched.worker.call_result import CallResult
from agentsched.worker.clock import Clock
from agentsched.worker.suspect_protocol import decode_answer, encode_taken

logger = logging.getLogger(__name__)

MAX_CRASHES = 3
"""Crashes alone after which it is answered POISON (design, 3.6)."""
AT_ONCE = 4
NO_CHILD_DELAY_MS = (500, 2_500)
"""When a suspect comes again for which no child could be started. Spread, so that they do
not all come at once and find the machine as full again."""
OVERTIME_S = 5.0
"""A child ends its call at the deadline; one that does not is killed so much later."""
STOP_S = 2.0
COMMAND = (sys.executable, "-m", "agentsched.worker.suspect_child")


class Crashed(Exception):  # noqa: N818  (names the event)
    """The child died of the request, or did not end in time.

    Attributes:
        exit_code: of the child; negative: the signal that ended it.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"a suspect ended its process (code {exit_code})")
        self.exit_code = exit_code


class Child:
    """One process that runs one suspect at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603  (our own command)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.cancelled = False

    def cancel(self) -> None:
        """End what it runs, and itself; safe from every thread."""
        self.cancelled = True
        self._process.kill()

    def run(self, line: bytes, until: float, clock: Clock) -> bytes | None:
        """Have one request answered; blocks. None: it was cancelled.

        Raises:
            Crashed: the process is gone, or did not answer until then.
        """
        try:
            answer = self._exchange(line, until, clock)
        except OSError:
            answer = b""
        if answer.endswith(b"\n"):
            return answer
        self._process.kill()
        if self.cancelled:
            return None
        raise Crashed(self._process.wait())

    def close(self) -> None:
        """End the process; blocks for a moment; idempotent."""
        if self._process.stdin is not None:
            # What a dead child has not read cannot be flushed; it is closed all the same.
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _exchange(self, line: bytes, until: float, clock: Clock) -> bytes:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:  # pragma: no cover
            raise AssertionError
        stdin.write(line)
        stdin.flush()
        answer = b""
        # Not `select`: it takes no descriptor above 1,023, and a worker has many.
        with selectors.DefaultSelector() as readable:
            readable.register(stdout, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                if not readable.select(max(0.0, until - clock.now_s())):
                    break
                part = os.read(stdout.fileno(), 65536)
                if not part:
                    break
                answer += part
        return answer


class NoChild(Exception):  # noqa: N818
    """No process could be started for a suspect."""


class Suspects:
    """At most four children of one worker process; made when they are needed, and kept.

    Args:
        clock: this process's.
        start: starts a child.
    """

    def __init__(
        self, clock: Clock, start: Callable[[], Child] = lambda: Child(COMMAND)
    ) -> None:
        self._clock = clock
        self._start = start
        self._chance = random.Random()  # noqa: S311  (no secret)
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="suspect")

    async def run(
        self, taken: Taken, time_left_s: float, began: Callable[[Child], None]
    ) -> CallResult | None:
        """Have one suspect answered by a child; no more than `AT_ONCE` at a time.

        Args:
            taken: the suspect, sealed.
            time_left_s: until its deadline.
            began: is given the child, which can be cancelled; called in another thread.

        Returns:
            None where it was cancelled meanwhile.

        Raises:
            Crashed: see `Child.run`; the next child is a new one.
            NoChild: it was not tried.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, self._run, taken, time_left_s, began
        )

    def no_child_delay_ms(self) -> int:
        """Return when a suspect shall come again that had no child."""
        return self._chance.randint(*NO_CHILD_DELAY_MS)

    def close(self) -> None:
        """End the children, after the last suspect; idempotent."""
        self._threads.shutdown()
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.close()

    def _run(
        self, taken: Taken, time_left_s: float, began: Callable[[Child], None]
    ) -> CallResult | None:
        until = self._clock.now_s() + time_left_s + OVERTIME_S
        child, answer = self._take(), None
        began(child)
        try:
            line = encode_taken(taken, time_left_s)
            answer = child.run(line, until, self._clock)
        finally:
            if answer is None:
                child.close()
            else:
                with self._lock:
                    self._idle.append(child)
        return None if answer is None else decode_answer(answer)

    def _take(self) -> Child:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        try:
            return self._start()
        except OSError as error:
            logger.warning("no child for a suspect: %s", type(error).__name__)
            raise NoChild from None
