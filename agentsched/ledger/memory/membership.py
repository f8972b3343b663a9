"""Membership in memory: epoch, dispatcher lease, heartbeats; it knows no request."""

from collections.abc import Mapping

from typing_extensions import override

from agentsched.ledger.memory.book import Book
from agentsched.ledger.memory.server import MemoryServer
from agentsched.ledger.protocol import Membership
from agentsched.ledger.turns import LAST_TURN_KEPT_MS
from agentsched.ledger.values import Beat
from agentsched.wire.epoch import NO_EPOCH, EpochCounter


class MemoryMembership(Membership):
    """`agentsched.ledger.protocol.Membership`, deterministic, in one process."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server

    @override
    def beat(self, known: EpochCounter = NO_EPOCH, last_change: str = "") -> Beat:
        """Random digits are a count, to be deterministic."""
        server = self._server
        with server.lock:
            data = server.data
            same = bool(last_change) and data.pulse.epoch == known.epoch
            lost = same and data.book.changes.forgot(last_change)
            if not data.pulse.epoch or data.pulse < known or lost:
                server.epochs_begun += 1
                data.fresh = not data.pulse.epoch
                data.born_ms = server.clock_ms()
                random_hex = f"{server.epochs_begun:016x}"
                data.pulse = EpochCounter(known.next_epoch(random_hex), 0)
                data.book = Book(server.clock_ms)
            data.pulse = data.pulse._replace(beats=data.pulse.beats + 1)
            return Beat(data.pulse, server.clock_ms() - data.born_ms, data.fresh)

    @override
    def drop_older(self, epoch: str) -> None:
        """Nothing is kept here."""

    @override
    def now_ms(self) -> int:
        return self._server.clock_ms()

    @override
    def lead(self, dispatcher_id: str, ttl_ms: int) -> bool:
        with self._server.lock:
            now_ms = self._server.clock_ms()
            if self._server.data.dispatcher[1] > now_ms and not self._server.leads(
                dispatcher_id
            ):
                return False
            self._server.data.dispatcher = (dispatcher_id, now_ms + ttl_ms)
            return True

    @override
    def resign(self, dispatcher_id: str) -> None:
        with self._server.lock:
            if self._server.leads(dispatcher_id):
                self._server.data.dispatcher = ("", 0)

    @override
    def beat_bridge(self, bridge_id: str, ttl_ms: int) -> int:
        with self._server.lock:
            now_ms = self._server.clock_ms()
            self._server.data.bridges[bridge_id] = now_ms + ttl_ms
            return sum(
                ends_ms > now_ms for ends_ms in self._server.data.bridges.values()
            )

    @override
    def leave_bridge(self, bridge_id: str) -> None:
        with self._server.lock:
            self._server.data.bridges.pop(bridge_id, None)

    @override
    def beat_worker(
        self,
        worker_id: str,
        slots: Mapping[str, int],
        ttl_ms: int,
        http: str = "",
        parked: int = 0,
    ) -> str:
        server = self._server
        with server.lock:
            now_ms = server.clock_ms()
            for one, (ends_ms, *_) in list(server.data.workers.items()):
                if ends_ms + LAST_TURN_KEPT_MS <= now_ms:
                    server.forget_worker(one)
            until_ms = now_ms + ttl_ms
            server.data.workers[worker_id] = (until_ms, dict(slots), http)
            server.park(worker_id, parked)
            return server.data.pulse.epoch

    @override
    def leave_worker(self, worker_id: str) -> None:
        with self._server.lock:
            self._server.retire_worker(worker_id)

    @override
    def live_slots(self) -> dict[str, int]:
        with self._server.lock:
            total: dict[str, int] = {}
            now_ms = self._server.clock_ms()
            for ends_ms, slots, _ in self._server.data.workers.values():
                for model, count in slots.items() if ends_ms > now_ms else ():
                    total[model] = total.get(model, 0) + count
            return total
