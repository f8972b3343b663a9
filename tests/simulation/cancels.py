"""What was cancelled in time: it is answered CANCELLED, and with nothing else.

Two views. The ledger's, with any faults: it marked the request while nobody ran it, and
has lost nothing since. The agent's, where no fault strikes: a bridge read the record
before the request was called or answered.
"""

from agentsched.ledger.values import State
from tests.simulation.redis import SimRedis
from tests.simulation.world import World

HEEDED_MS = 500
"""From reading a cancel record to its mark: the rest of the turn, and the step."""
NOT_BEGUN = (None, State.READY)
"""What the ledger says of a request that it marks, and that nobody runs."""


class Cancels:
    """Knows which requests have to be answered CANCELLED, by their keys."""

    def __init__(self, world: World, redis: SimRedis, *, faults: bool) -> None:
        self._world = world
        self._redis = redis
        self._faults = faults
        self._read_ms: dict[str, int] = {}
        """When the first cancel record was read."""
        self._eras: dict[str, tuple[int, str]] = {}
        """When it marked the request, before anybody ran it."""
        self._begun_ms: dict[str, int] = {}
        """When it was called or answered first."""
        self._answered: set[str] = set()

    def read(self, key: str) -> None:
        """A bridge has read a cancel record."""
        self._read_ms.setdefault(key, self._world.now_ms)

    def marked(self, key: str, state: State | None) -> None:
        """The ledger has marked a request that was in this state."""
        if state in NOT_BEGUN and key not in self._answered:
            self._eras[key] = self._era()

    def is_marked(self, key: str) -> bool:
        """Return whether the ledger has marked it before anybody ran it."""
        return self._eras.get(key) == self._era()

    def called(self, key: str) -> bool:
        """Note a call; return whether its request was cancelled in time."""
        self._begun_ms.setdefault(key, self._world.now_ms)
        return self._heeds(key)

    def answered(self, key: str) -> bool:
        """Note an answer; return whether it has to be CANCELLED."""
        self._begun_ms.setdefault(key, self._world.now_ms)
        self._answered.add(key)
        return self._heeds(key) or self.is_marked(key)

    def _heeds(self, key: str) -> bool:
        """Return whether a record that cancels it was read before it began."""
        read_ms = self._read_ms.get(key)
        if self._faults or read_ms is None:
            return False
        return read_ms + HEEDED_MS <= self._begun_ms[key]

    def _era(self) -> tuple[int, str]:
        """Name a time without a loss; the next epoch voids what came after one, too."""
        return self._redis.losses, self._redis.ledger.server.data.pulse.epoch
