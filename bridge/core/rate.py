"""How fast a total grows, over a sliding interval; pure."""

from collections import deque

INTERVAL_MS = 10_000


class Rate:
    """Takes readings of a total that only grows; one that shrinks begins anew."""

    def __init__(self) -> None:
        self._readings: deque[tuple[int, int]] = deque()

    def add(self, total: int, now_ms: int) -> None:
        """Add a reading, and forget those that the interval does not need."""
        if self._readings and total < self._readings[-1][1]:
            self._readings.clear()
        self._readings.append((now_ms, total))
        while len(self._readings) > 1 and self._readings[1][0] <= now_ms - INTERVAL_MS:
            self._readings.popleft()

    @property
    def per_s(self) -> float:
        """The growth a second over the last interval; 0 before the second reading."""
        if len(self._readings) < 2:  # noqa: PLR2004  (a rate needs two readings)
            return 0.0
        (first_ms, first), (last_ms, last) = self._readings[0], self._readings[-1]
        return round((last - first) * 1000 / max(1, last_ms - first_ms), 3)
