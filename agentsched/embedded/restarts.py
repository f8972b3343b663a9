"""Owns when a process that died is started again; pure, the caller has the clock."""

from dataclasses import dataclass

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
"""Who ran so long before it died begins with the first pause again."""


@dataclass(slots=True)
class _Record:
    deaths: int = 0
    started_s: float = 0.0
    due_s: float | None = None
    """When it is to be started; None while it is not known to be dead."""


class Restarts:
    """Back-off by name: 0.5, 1, 2 ... 30 s."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def noticed(self, name: str, now_s: float) -> float | None:
        """Note that it is dead; returns the pause in seconds the first time only."""
        record = self._records.setdefault(name, _Record())
        if record.due_s is not None:
            return None
        if now_s - record.started_s > STEADY_S:
            record.deaths = 0
        pause_s = min(FIRST_PAUSE_S * 2.0**record.deaths, LONGEST_PAUSE_S)
        record.deaths += 1
        record.due_s = now_s + pause_s
        return pause_s

    def due(self, name: str, now_s: float) -> bool:
        """Return whether to start it now; it counts as started then."""
        record = self._records.get(name)
        if record is None or record.due_s is None or now_s < record.due_s:
            return False
        record.due_s, record.started_s = None, now_s
        return True
