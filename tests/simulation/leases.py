"""What the ledger let workers run, and what kept them from keeping it."""

from dataclasses import dataclass

from tests.simulation.redis import SimRedis
from tests.simulation.world import Process, World


@dataclass
class Lease:
    """One lease as the ledger gave it."""

    process: Process
    key: str
    epoch: str
    extended_ms: int
    put_backs: int
    """How often Redis had been put back when it was given."""
    losses: int
    """How often it had lost anything at all."""


class Leases:
    """Says of a lease whether it holds, and what may have ended it."""

    def __init__(self, world: World, redis: SimRedis, lease_ms: int) -> None:
        self._world = world
        self._redis = redis
        self._lease_ms = lease_ms

    def given(self, process: Process, key: str, epoch: str) -> Lease:
        """Return a lease that begins now."""
        redis, now_ms = self._redis, self._world.now_ms
        return Lease(process, key, epoch, now_ms, redis.put_backs, redis.losses)

    def holds(self, lease: Lease) -> bool:
        """Return whether a call under it counts for the capacity.

        Not when it is over: its worker slept, or could not reach Redis, for longer than
        a lease. What it does meanwhile nobody can stop. Nor when Redis has lost it
        because it was put back: until somebody sees that, another worker may take its
        doorbell, which came back as well. Nor when an emptied Redis has forgotten it
        while its worker sleeps, is dead or cut off: those that hear of it stop in time.
        """
        return (
            lease.extended_ms + self._lease_ms > self._world.now_ms
            and lease.put_backs == self._redis.put_backs
            and not (lease.losses < self._redis.losses and self._struck(lease))
        )

    def excused(self, lease: Lease) -> bool:
        """Return whether something kept the holder from renewing its lease."""
        return self._struck(lease, None)

    def _struck(self, lease: Lease, *others: Process | None) -> bool:
        """Return whether its holder is dead, or it or one of `others` had a trouble."""
        return not lease.process.alive or any(
            one.process in (lease.process, *others)
            and one.end_ms >= lease.extended_ms
            and one.start_ms <= self._world.now_ms
            for one in self._world.troubles
        )
