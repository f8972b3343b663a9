"""Membership in memory: epoch, dispatcher lease, heartbeats; it knows no request."""

from collections.abc import Callable, Mapping
from threading import Condition

from agentsched.ledger.values import Beat
from agentsched.wire.epoch import NO_EPOCH, EpochCounter


class MemoryMembership:
    """`agentsched.ledger.protocol.Membership`, deterministic, in one process."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._lock = Condition()
        self._epochs_begun = 0
        self._forget_members()

    def _forget_members(self) -> None:
        self._pulse = NO_EPOCH
        self._born_ms, self._fresh = 0, True
        self._dispatcher: tuple[str, int] = ("", 0)
        self._bridges: dict[str, int] = {}
        self._workers: dict[str, tuple[int, dict[str, int], str]] = {}

    def _leads(self, dispatcher_id: str) -> bool:
        return self._dispatcher[0] == dispatcher_id and (
            self._dispatcher[1] > self._clock_ms()
        )

    def beat(self, known: EpochCounter = NO_EPOCH, heard: str = "") -> Beat:
        """See `Membership.beat`; random digits are a count, to be deterministic."""
        with self._lock:
            forgot = self._pulse.epoch == known.epoch and self._forgot(heard)
            if not self._pulse.epoch or self._pulse < known or forgot:
                self._epochs_begun += 1
                self._fresh = not self._pulse.epoch
                self._born_ms = self._clock_ms()
                self._pulse = EpochCounter(
                    known.next_epoch(f"{self._epochs_begun:016x}"), 0
                )
                self._begin_epoch()
            self._pulse = self._pulse._replace(beats=self._pulse.beats + 1)
            return Beat(self._pulse, self._clock_ms() - self._born_ms, self._fresh)

    def drop_older(self, epoch: str) -> None:
        """See `Membership.drop_older`; nothing is kept here."""

    def _begin_epoch(self) -> None:
        """Void what the old epoch knew; called with the lock."""

    def _forgot(self, heard: str) -> bool:
        """Whether the change log has lost an entry that somebody got."""
        del heard
        return False

    def now_ms(self) -> int:
        """See `Membership.now_ms`."""
        return self._clock_ms()

    def lead(self, dispatcher_id: str, ttl_ms: int) -> bool:
        """See `Membership.lead`."""
        with self._lock:
            now_ms = self._clock_ms()
            if self._dispatcher[1] > now_ms and not self._leads(dispatcher_id):
                return False
            self._dispatcher = (dispatcher_id, now_ms + ttl_ms)
            return True

    def resign(self, dispatcher_id: str) -> None:
        """See `Membership.resign`."""
        with self._lock:
            if self._leads(dispatcher_id):
                self._dispatcher = ("", 0)

    def beat_bridge(self, bridge_id: str, ttl_ms: int) -> int:
        """See `Membership.beat_bridge`."""
        with self._lock:
            now_ms = self._clock_ms()
            self._bridges[bridge_id] = now_ms + ttl_ms
            return sum(ends_ms > now_ms for ends_ms in self._bridges.values())

    def leave_bridge(self, bridge_id: str) -> None:
        """See `Membership.leave_bridge`."""
        with self._lock:
            self._bridges.pop(bridge_id, None)

    def beat_worker(
        self, worker_id: str, slots: Mapping[str, int], ttl_ms: int, http: str = ""
    ) -> None:
        """See `Membership.beat_worker`."""
        with self._lock:
            self._workers[worker_id] = (self._clock_ms() + ttl_ms, dict(slots), http)

    def leave_worker(self, worker_id: str) -> None:
        """See `Membership.leave_worker`."""
        with self._lock:
            self._workers.pop(worker_id, None)

    def live_slots(self) -> dict[str, int]:
        """See `Membership.live_slots`."""
        with self._lock:
            total: dict[str, int] = {}
            now_ms = self._clock_ms()
            for ends_ms, slots, _ in self._workers.values():
                for model, count in slots.items() if ends_ms > now_ms else ():
                    total[model] = total.get(model, 0) + count
            return total
