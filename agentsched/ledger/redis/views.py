"""Views on Redis: it reads what the steps wrote, and writes nothing."""

import json
from collections.abc import Sequence

from agentsched.ledger.redis import codec
from agentsched.ledger.redis.operator_orders import RedisOperations
from agentsched.ledger.redis.scripts import translated
from agentsched.ledger.values import Ending, State
from agentsched.ledger.views import Description, LiveWorker, Pool


class RedisViews(RedisOperations):
    """`agentsched.ledger.views.Views`, beside the operations."""

    def epoch(self) -> str | None:
        """See `Views.epoch`."""
        with translated("epoch"):
            epoch = self._client.hget(f"{self._namespace}:epoch", "id")
        return epoch.decode() if isinstance(epoch, bytes) else None

    def pools(self, epoch: str) -> list[Pool]:
        """See `Views.pools`."""
        rows = self._scripts.run("pools", epoch)
        pools = (
            Pool(*codec.decode_pool(pool.decode()), int(in_flight), int(capacity))
            for pool, in_flight, capacity in rows
        )
        return sorted(pools, key=lambda pool: (pool.model, pool.endpoint))

    def workers(self) -> list[LiveWorker]:
        """See `Views.workers`."""
        rows = self._scripts.run("workers", checks_epoch=False)
        workers = (
            LiveWorker(worker_id.decode(), json.loads(slots), http.decode())
            for worker_id, slots, http in rows
        )
        return sorted(workers, key=lambda worker: worker.worker_id)

    def describe(self, epoch: str, key: str) -> Description | None:
        """See `Views.describe`."""
        row = self._scripts.run("describe", epoch, key)
        return _description(row) if row else None


def _description(row: Sequence[bytes]) -> Description:
    state, facts, pool, reply_at, ending, *numbers = row
    since_ms, attempts, crashes, lease_ms, not_before_ms, deadline_ms = map(
        int, numbers
    )
    model, endpoint = codec.decode_pool(pool.decode())
    return Description(
        State(state.decode()),
        since_ms,
        facts=codec.decode_facts(facts) if facts else None,
        model=model,
        endpoint=endpoint,
        attempts=attempts,
        crashes=crashes,
        lease_left_ms=lease_ms,
        not_before_ms=max(0, not_before_ms),
        deadline_left_ms=deadline_ms,
        ending=Ending(ending.decode()) if ending else None,
        reply_at=codec.decode_record_at(reply_at) if reply_at else None,
    )
