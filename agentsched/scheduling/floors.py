"""Floors against starvation: each backlogged class gets 5 % of a model's slot time.

A class that waits earns slot-milliseconds; what is seen to start of it is charged at the
estimated duration and settled when it ends. A class whose credit pays for one
request goes first, once. Nothing is earned while nothing waits.
"""

from collections.abc import Callable, Collection

from agentsched.scheduling.order import CLASSES

FLOOR_RATIO = 0.05
"""Share of a model's slot time for each class that waits (design, section 4)."""
WINDOW_MS = 60_000
"""The floor is promised a minute: no more than a minute's worth (or one request) is
saved up."""
FIRST_ESTIMATE_MS = 1_000.0
MAX_OWED = 16
"""Requests that stand before all others because of floors, in one list."""
_ESTIMATE_WEIGHT = 0.2
"""Weight of the newest duration in the moving average."""


class ClassFloors:
    """The credit of every class of one model, and the model's usual duration."""

    def __init__(self) -> None:
        self.estimate_ms = FIRST_ESTIMATE_MS
        self._credit_ms = dict.fromkeys(CLASSES, 0.0)
        self._charged: dict[str, float] = {}
        self._seen_ms = 0
        self._seen_slots = 0
        self._seen_waiting: Collection[str] = ()

    def pass_time(self, now_ms: int, slots: int, waiting: Collection[str]) -> None:
        """Credit what has waited since the last call, and note what waits from now on.

        Args:
            now_ms: the time.
            slots: of the model that are live from now on.
            waiting: the classes that could run something here from now on.
        """
        elapsed_ms = now_ms - self._seen_ms
        if elapsed_ms > 0 and self._seen_slots and self._seen_waiting:
            self.earn(elapsed_ms, self._seen_slots, self._seen_waiting.__contains__)
        self._seen_ms, self._seen_slots, self._seen_waiting = now_ms, slots, waiting

    def earn(
        self, elapsed_ms: int, capacity: int, waits: Callable[[str], bool]
    ) -> None:
        """Credit every waiting class for the time since the last call.

        Args:
            elapsed_ms: milliseconds since then.
            capacity: the slots of the model that are live now.
            waits: tells whether a class has a request that could run here.
        """
        for cls in CLASSES:
            if waits(cls):
                earned = elapsed_ms * capacity * FLOOR_RATIO
                # At least one request: calls may take longer than a minute's floor.
                most = max(WINDOW_MS * capacity * FLOOR_RATIO, self.estimate_ms)
                self._credit_ms[cls] = min(self._credit_ms[cls] + earned, most)

    def owed(self, waits: Callable[[str], bool]) -> list[str]:
        """Return to which classes a start is owed, in the order of these starts.

        A class stands there as often as its credit pays for, the one that is owed most
        first.
        """
        if max(self._credit_ms.values()) < self.estimate_ms:
            return []
        left = {cls: ms for cls, ms in self._credit_ms.items() if ms > 0 and waits(cls)}
        starts: list[str] = []
        while left and len(starts) < MAX_OWED:
            cls = max(left, key=left.__getitem__)
            if left[cls] < self.estimate_ms:
                break
            left[cls] -= self.estimate_ms
            starts.append(cls)
        return starts

    def charge(self, key: str, cls: str) -> None:
        """Take the estimate for a request that starts, as far as there is credit."""
        self._charged[key] = self._take(cls, self.estimate_ms)

    def settle(self, key: str, cls: str, took_ms: int) -> None:
        """Correct the charge when a request ends, and learn its duration.

        What is given back is never more than was taken: else a class that runs all
        the time would save up credit from calls that were shorter than usual.
        """
        self._take(cls, took_ms - self._charged.pop(key, 0.0))
        self.estimate_ms += _ESTIMATE_WEIGHT * (took_ms - self.estimate_ms)

    def _take(self, cls: str, amount_ms: float) -> float:
        # Never below zero: service beyond the floor is no debt, so a class that ran
        # alone for an hour is still owed its floor from the first minute of a flood.
        before = self._credit_ms[cls]
        self._credit_ms[cls] = max(0.0, before - amount_ms)
        return before - self._credit_ms[cls]
