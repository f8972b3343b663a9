"""What a Redis or Valkey server says of itself: version and configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import ResponseError

from agentsched.ledger.redis.scripts import translated


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server, as it describes itself."""

    version: str
    """The Redis version; Valkey states the one that it equals."""
    config: Mapping[str, str]
    """Empty where we may not look: managed servers and ACLs often forbid it."""


def server_facts(client: redis.Redis, keys: Sequence[str]) -> ServerFacts:
    """Ask a server for its version and some of its configuration; blocks.

    Raises:
        LedgerUnavailable: it did not answer.
    """
    with translated("info"):
        version = str(client.info("server").get("redis_version", "0"))
        try:
            config = {key: _one(client, key) for key in keys}
        except ResponseError:
            config = {}
    return ServerFacts(version, {k: v for k, v in config.items() if v is not None})


def _one(client: redis.Redis, key: str) -> str | None:
    found: Any = client.config_get(key)  # bytes or text, by the client
    value = found.get(key, found.get(key.encode()))
    return value.decode() if isinstance(value, bytes) else value
