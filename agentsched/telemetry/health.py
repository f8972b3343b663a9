"""Whether a process lives and is ready to work; nobody is asked when a page is read.

The loops report, the HTTP page reads: no probe can load Redis or Kafka. A process lives
while its loops report turns; it is ready while what it needs is reported to work.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic

from agentsched.errors import LedgerError, NewerFormat
from agentsched.telemetry.events import (
    PROCESS_TOO_OLD,
    REDIS_REACHABLE,
    REDIS_UNREACHABLE,
)
from agentsched.telemetry.logs import say


@dataclass(frozen=True, slots=True)
class Check:
    """The state of one thing that a process needs."""

    ok: bool
    detail: str = ""
    """What is wrong and what to look at; no secret, no content."""


Checks = Mapping[str, Callable[[], Check]]
"""By name."""


class Indicator:
    """The state of one thing, reported now and then; it goes stale.

    Args:
        name: what is silent, for the detail.
        good_for_s: how long "ok" counts without another report.
        now_s: the clock.
        ok: the state until the first report.
    """

    def __init__(
        self,
        name: str,
        good_for_s: float,
        now_s: Callable[[], float] = monotonic,
        *,
        ok: bool = False,
    ) -> None:
        self._name = name
        self._good_for_s = good_for_s
        self._now_s = now_s
        self.report(ok=ok, detail=f"{name}: not known yet")

    def report(self, *, ok: bool = True, detail: str = "") -> None:
        """Set the state as it is now; cheap, and safe from every thread."""
        # In this order: a reader between the two sees something old, never wrong.
        self._reported_at_s = self._now_s()
        self._reported = Check(ok, "" if ok else detail)

    def check(self) -> Check:
        """Return the state as it was reported, unless that is too long ago."""
        silent_s = self._now_s() - self._reported_at_s
        if self._reported.ok and silent_s > self._good_for_s:
            return Check(ok=False, detail=f"{self._name}: silent for {silent_s:.0f} s")
        return self._reported


class RedisIndicator(Indicator):
    """Whether Redis answers the ledger's steps; logs when that changes.

    Args:
        good_for_s: see `Indicator`.
        now_s: the clock.
    """

    def __init__(
        self, good_for_s: float, now_s: Callable[[], float] = monotonic
    ) -> None:
        super().__init__("Redis", good_for_s, now_s)
        self.is_unreachable = False
        self._is_old = False

    def answered(self) -> None:
        """Redis answered a step."""
        self.report(ok=True)
        if self.is_unreachable:
            self.is_unreachable = False
            say(REDIS_REACHABLE)

    def failed(self, step: str, error: LedgerError) -> None:
        """A step had no answer; who asked tries again."""
        self.report(ok=False, detail=str(error))
        if not self.is_unreachable:
            self.is_unreachable = True
            say(REDIS_UNREACHABLE, step=step, detail=str(error))

    def too_old(self, error: NewerFormat) -> None:
        """A newer version uses the ledger: this process has to end."""
        self.report(ok=False, detail=str(error))
        if not self._is_old:
            self._is_old = True
            say(PROCESS_TOO_OLD, detail=str(error))


class Poller(Indicator):
    """An indicator that asks for itself, in a thread of its own, again and again.

    Args:
        name: see `Indicator`.
        ask: blocks for a bounded time; raises when there is no answer. Its exceptions'
            texts are shown in a page.
        expected: the exceptions that mean "no answer".
        every_s: the pause between two.
        good_for_s: see `Indicator`.
    """

    def __init__(
        self,
        name: str,
        ask: Callable[[], object],
        *,
        expected: type[Exception],
        every_s: float,
        good_for_s: float,
    ) -> None:
        super().__init__(name, good_for_s)
        self._ask = ask
        self._expected = expected
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)

    def start(self) -> None:
        """Start the thread; call it once."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread; waits up to `timeout_s`; idempotent."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._ask()
            except self._expected as error:
                self.report(ok=False, detail=str(error))
            else:
                self.report(ok=True)
            self._stopped.wait(self._every_s)
