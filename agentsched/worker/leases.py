"""The leases that this process holds, and the right to stop what runs under them.

Knows no ledger: the keeper renews, the execution claims and hands in.
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
    """The right of one pool thread to run one request; asked for, then begun."""

    def __init__(
        self, epoch: str, key: str, lease_id: str, clock: Clock | None = None
    ) -> None:
        """Makes it known to nobody; see `LeaseBook.hold`."""
        self.epoch = epoch
        self.key = key
        self.lease_id = lease_id
        self.clock = clock or Clock()
        self._lock = threading.Lock()
        self._stopped: Stop | None = None
        self._event = self.clock.event()
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
        self._event.set()
        if call is not None:
            call.cancel()

    def wait_stopped(self, timeout_s: float) -> bool:
        """Block up to `timeout_s`; True as soon as it is stopped."""
        return self._event.wait(timeout_s)


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
        lease = HeldLease(epoch, key, lease_id, self.clock)
        with self._lock:
            self._held[lease_id] = lease
            closing = self._closing
        if closing:
            lease.stop(closing)
        return lease

    def unstoppable(self) -> HeldLease:
        """Make a lease that is in no book: for what is done after a stop."""
        return HeldLease("", "", "", self.clock)

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
