"""The leases that this process holds, and the right to stop what runs under them.

Knows no ledger: the keeper renews, the slots take and hand in.
"""

import threading
from enum import StrEnum
from typing import Protocol

from agentsched.worker.clock import Clock


class Stop(StrEnum):
    """Why a call is stopped before it has an answer."""

    LOST = "lost"
    """The lease is over or somebody else's: nothing may be handed in."""
    PUT_BACK = "put_back"
    """The worker goes: the request shall run elsewhere."""
    CANCELLED = "cancelled"
    """Somebody cancelled the request: it is answered so."""


class Cancellable(Protocol):
    """Something under way that can be asked to stop."""

    def cancel(self) -> object:
        """Ask it to stop; does not block."""


class HeldLease:
    """The right to run one request; asked for, then begun."""

    def __init__(self, epoch: str, key: str, lease_id: str) -> None:
        """Makes it known to nobody; see `LeaseBook.hold`."""
        self.epoch = epoch
        self.key = key
        self.lease_id = lease_id
        self._lock = threading.Lock()
        self._stopped: Stop | None = None
        self._call: Cancellable | None = None
        self.begun = False
        """Whether the ledger gave it: only then it is there to be renewed."""

    def __repr__(self) -> str:
        return f"HeldLease(key={self.key!r}, stopped={self._stopped})"

    @property
    def stopped(self) -> Stop | None:
        """Why it was stopped; None while it may go on."""
        return self._stopped

    def begin(self) -> None:
        """The ledger gave the lease."""
        self.begun = True

    def attach(self, call: Cancellable) -> None:
        """Name the call that `stop` cancels; it is cancelled now if that was before."""
        with self._lock:
            self._call = call
            stopped = self._stopped
        if stopped:
            call.cancel()

    def stop(self, why: Stop) -> None:
        """Cancel the call under this lease. The first reason stays, but LOST wins."""
        with self._lock:
            if self._stopped is None or why is Stop.LOST:
                self._stopped = why
            call = self._call
        if call is not None:
            call.cancel()


class LeaseBook:
    """All leases of this process. Safe to use from every thread."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Starts empty.

        Args:
            clock: the time of this process; its monotonic clock by default.
        """
        self.clock = clock or Clock()
        self._lock = threading.Lock()
        self._held: dict[str, HeldLease] = {}
        self._closing: Stop | None = None

    def hold(self, epoch: str, key: str, lease_id: str) -> HeldLease:
        """Enter a lease that is asked for; after `stop_all` it comes back stopped."""
        lease = HeldLease(epoch, key, lease_id)
        with self._lock:
            self._held[lease_id] = lease
            closing = self._closing
        if closing:
            lease.stop(closing)
        return lease

    @property
    def closing(self) -> bool:
        """Whether `stop_all` was called: nothing may take long any more."""
        return self._closing is not None

    def release(self, lease: HeldLease) -> None:
        """Strike a lease out; idempotent."""
        with self._lock:
            self._held.pop(lease.lease_id, None)

    def held(self) -> list[HeldLease]:
        """The leases to renew."""
        with self._lock:
            return [lease for lease in self._held.values() if lease.begun]

    def stop_all(self, why: Stop) -> None:
        """Stop what runs, and whatever is entered from now on."""
        with self._lock:
            self._closing = why
            leases = list(self._held.values())
        for lease in leases:
            lease.stop(why)

    def stop_lease(self, lease_id: str, why: Stop) -> None:
        """Stop what runs under one lease; nothing when it is not held here."""
        with self._lock:
            lease = self._held.get(lease_id)
        if lease is not None:
            lease.stop(why)

    def stop_request(self, key: str, why: Stop) -> None:
        """Stop the work on one request; nothing when this process does none."""
        with self._lock:
            leases = list(self._held.values())
        for lease in leases:
            if lease.key == key:
                lease.stop(why)
