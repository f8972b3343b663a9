"""Membership on Redis: epoch, dispatcher lease, heartbeats; it knows no request."""

import json
from collections.abc import Mapping
from secrets import token_hex

import redis
from typing_extensions import override

from agentsched.ledger.protocol import Membership
from agentsched.ledger.redis.scripts import Scripts
from agentsched.ledger.values import Beat
from agentsched.wire.epoch import NO_EPOCH, EpochCounter

SCANNED = 1000
"""Keys in one step of a scan: some 100 us of Redis."""


class RedisMembership(Membership):
    """`agentsched.ledger.protocol.Membership` on Redis; opens nothing until used."""

    def __init__(self, client: redis.Redis, namespace: str, scripts: Scripts) -> None:
        self._client = client
        self._namespace = namespace
        self._scripts = scripts

    @override
    def beat(self, known: EpochCounter = NO_EPOCH, last_change: str = "") -> Beat:
        candidate = known.next_epoch(token_hex(8))
        epoch, count, age_ms, fresh = self._scripts.run(
            "beat", *known, last_change, candidate, checks_epoch=False
        )
        return Beat(EpochCounter(epoch.decode(), count), int(age_ms), bool(fresh))

    @override
    def drop_older(self, epoch: str) -> None:
        digits = "[0-9a-f]" * len(epoch)
        first = len(self._namespace) + 1
        with self._scripts.watched("drop_older"):
            names = self._client.scan_iter(f"{self._namespace}:{digits}:*", SCANNED)
            for name in names:
                # No epoch comes before one that was there: these are dead for good.
                if name[first : first + len(epoch)].decode() < epoch:
                    self._client.unlink(name)

    @override
    def now_ms(self) -> int:
        with self._scripts.watched("now_ms"):
            seconds, micros = self._client.time()
        return seconds * 1000 + micros // 1000

    @override
    def lead(self, dispatcher_id: str, ttl_ms: int) -> bool:
        return bool(
            self._scripts.run("lead", dispatcher_id, ttl_ms, checks_epoch=False)
        )

    @override
    def resign(self, dispatcher_id: str) -> None:
        self._scripts.run("resign", dispatcher_id, checks_epoch=False)

    @override
    def beat_bridge(self, bridge_id: str, ttl_ms: int) -> int:
        return int(
            self._scripts.run("beat_bridge", bridge_id, ttl_ms, checks_epoch=False)
        )

    @override
    def leave_bridge(self, bridge_id: str) -> None:
        with self._scripts.watched("leave_bridge"):
            self._client.zrem(f"{self._namespace}:bridges", bridge_id)

    @override
    def beat_worker(
        self,
        worker_id: str,
        slots: Mapping[str, int],
        ttl_ms: int,
        http: str = "",
        parked: int = 0,
    ) -> str:
        text = json.dumps(dict(slots))
        what = (worker_id, ttl_ms, text, http, parked)
        epoch = self._scripts.run("beat_worker", *what, checks_epoch=False)
        return str(epoch.decode())

    @override
    def leave_worker(self, worker_id: str) -> None:
        self._scripts.run("leave_worker", worker_id, checks_epoch=False)

    @override
    def live_slots(self) -> dict[str, int]:
        total: dict[str, int] = {}
        for text in self._scripts.run("live_slots", checks_epoch=False):
            for model, slots in json.loads(text).items():
                total[model] = total.get(model, 0) + slots
        return total
