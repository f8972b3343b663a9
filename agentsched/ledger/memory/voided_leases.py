"""Voided leases in one process: how a worker hears of them at once."""

import threading

from typing_extensions import override

from agentsched.ledger.protocol import VoidedLeases


class MemoryVoidedLeases(VoidedLeases):
    """`agentsched.ledger.protocol.VoidedLeases` in one process; made by the ledger."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._voided: list[str] = []

    def put(self, lease_id: str) -> None:
        """Tell it."""
        with self._ready:
            self._voided.append(lease_id)
            self._ready.notify_all()

    @override
    def take(self, wait_s: float) -> str | None:
        with self._ready:
            self._ready.wait_for(lambda: self._voided, wait_s)
            return self._voided.pop(0) if self._voided else None

    def close(self) -> None:
        """Nothing is held."""
