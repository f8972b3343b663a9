"""Whether a process lives and is ready to work; it asks nobody, it is told.

The loops tell, the HTTP page reads: no probe can load Redis or Kafka.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic


@dataclass(frozen=True, slots=True)
class Check:
    """The state of one thing that a process needs."""

    ok: bool
    detail: str = ""
    """What is wrong and what to look at; no secret, no content."""


class Pulse:
    """Notes that a loop turns."""

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        """Starts with a turn now."""
        self._now_s = now_s
        self._turned_at = now_s()

    def turn(self) -> None:
        """Note a turn; costs nothing."""
        self._turned_at = self._now_s()

    def silent_s(self) -> float:
        """Return the seconds since the last turn."""
        return self._now_s() - self._turned_at


class Signal:
    """The state of one thing, told now and then; it goes stale.

    Args:
        good_for_s: how long "ok" counts without being told again.
        name: what is silent, for the detail.
        now_s: the clock.
    """

    def __init__(
        self, name: str, good_for_s: float, now_s: Callable[[], float] = monotonic
    ) -> None:
        self._name = name
        self._good_for_s = good_for_s
        self._now_s = now_s
        self._told = Check(ok=False, detail=f"{name}: not known yet")
        self._told_at = now_s()

    def tell(self, *, ok: bool, detail: str = "") -> None:
        """Note the state as it is now."""
        # In this order: a reader between the two sees something old, never wrong.
        self._told_at = self._now_s()
        self._told = Check(ok, "" if ok else detail)

    def check(self) -> Check:
        """Return the state as it was told, unless that is too long ago."""
        silent_s = self._now_s() - self._told_at
        if self._told.ok and silent_s > self._good_for_s:
            return Check(ok=False, detail=f"{self._name}: silent for {silent_s:.0f} s")
        return self._told


class Watch:
    """Asks something in a thread of its own, again and again.

    Args:
        ask: blocks for a bounded time; raises when there is no answer. Its exceptions'
            texts are shown in a page.
        signal: is told of every answer.
        expected: the exceptions that mean "no answer".
        every_s: the pause between two.
    """

    def __init__(
        self,
        ask: Callable[[], object],
        signal: Signal,
        *,
        expected: type[Exception],
        every_s: float,
    ) -> None:
        self._ask = ask
        self._signal = signal
        self._expected = expected
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Start the thread; call it once."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread; waits up to `timeout_s`; again is harmless."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._ask()
            except self._expected as error:
                self._signal.tell(ok=False, detail=str(error))
            else:
                self._signal.tell(ok=True)
            self._stopped.wait(self._every_s)


@dataclass(frozen=True, slots=True)
class Health:
    """What a process says of itself.

    Args:
        pulses: its loops, by name.
        stuck_s: a loop that is silent for longer is stuck.
        checks: what it needs, by name.
    """

    pulses: Mapping[str, Pulse]
    stuck_s: float
    checks: Mapping[str, Callable[[], Check]]

    def live(self) -> dict[str, Check]:
        """Return the state of each loop: a process with a stuck one wants a restart."""
        return {name: self._beats(name, pulse) for name, pulse in self.pulses.items()}

    def ready(self) -> dict[str, Check]:
        """Return the state of each thing that is needed."""
        return {name: check() for name, check in self.checks.items()}

    def _beats(self, name: str, pulse: Pulse) -> Check:
        silent_s = pulse.silent_s()
        if silent_s <= self.stuck_s:
            return Check(ok=True)
        return Check(ok=False, detail=f"{name}: no turn for {silent_s:.0f} s")
