"""Which leases another's answer has voided: how a worker hears of it at once.

A hint: it may be missed, and then the next renewal says it.
"""

import redis
from redis.exceptions import RedisError
from typing_extensions import override

from agentsched.ledger.protocol import VoidedLeases
from agentsched.ledger.redis.scripts import translated


class RedisVoidedLeases(VoidedLeases):
    """`agentsched.ledger.protocol.VoidedLeases` over Redis's publish and subscribe.

    Args:
        client: gives the connection; it is opened at the first `take`, and tested by
            the client's own health checks.
        namespace: the ledger's.
    """

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._client = client
        self._channel = f"{namespace}:voided"
        self._subscription: redis.client.PubSub | None = None

    @override
    def take(self, wait_s: float) -> str | None:
        with translated("voided"):
            try:
                message = self._subscribed().get_message(timeout=wait_s)
            except RedisError:
                self.close()
                raise
        data = message["data"] if message and message["type"] == "message" else None
        return data.decode() if isinstance(data, bytes) else None

    def close(self) -> None:
        """Close the connection; idempotent."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()

    def _subscribed(self) -> redis.client.PubSub:
        if self._subscription is None:
            self._subscription = self._client.pubsub()  # type: ignore[no-untyped-call]
            self._subscription.subscribe(self._channel)
        return self._subscription
