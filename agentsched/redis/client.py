"""Settings -> Redis's clients: the one place with redis-py's names for TLS and Sentinel.

Making a client opens nothing. Celery makes its own from the same options.
"""

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.credentials import UsernamePasswordCredentialProvider
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from agentsched.config.settings import RedisSettings

SOCKET_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 2.0
HEALTH_CHECK_S = 15
CONNECTIONS = 96
"""For 64 threads, and some that block while they wait for changes."""


def redis_client(settings: RedisSettings) -> redis.Redis:
    """Make a client of the data server; it answers with bytes and repeats nothing.

    With Sentinels every new connection asks them where the data server is, so that a
    failover needs no restart. `close_client` closes it.
    """
    address = settings.address
    options: dict[str, Any] = {
        "username": address.username,
        "password": address.password,
        "db": address.db,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": HEALTH_CHECK_S,
        "max_connections": CONNECTIONS,
        **_timeouts(CONNECT_TIMEOUT_S, SOCKET_TIMEOUT_S),
    }
    if settings.uses_tls:
        options |= {"ssl": True, **tls_options(settings)}
    if not address.is_sentinel:
        ((host, port),) = address.hosts
        return redis.Redis(host, port, **options)
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        address.hosts,
        sentinel_kwargs=sentinel_options(settings, CONNECT_TIMEOUT_S),
        **options,
    )
    client: redis.Redis = sentinels.master_for(  # type: ignore[no-untyped-call]
        settings.sentinel_master
    )
    return client


def close_client(client: redis.Redis) -> None:
    """Close all connections of a client, those to its Sentinels too."""
    client.close()
    if isinstance(client.connection_pool, SentinelConnectionPool):
        client.connection_pool.sentinel_manager.close()


def tls_options(settings: RedisSettings) -> dict[str, Any]:
    """Return how certificates are checked; the server's always is."""
    files = {
        "ssl_ca_certs": settings.tls_ca_file,
        "ssl_certfile": settings.tls_cert_file,
        "ssl_keyfile": settings.tls_key_file,
    }
    return {
        # Said, since kombu would take a missing word for "none".
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": settings.tls_check_hostname,
        **{name: file for name, file in files.items() if file},
    }


def sentinel_options(
    settings: RedisSettings, connect_timeout_s: float
) -> dict[str, Any]:
    """Return how the Sentinels themselves are called.

    Args:
        settings: the configuration.
        connect_timeout_s: also for an answer: they are asked one after the other.
    """
    options: dict[str, Any] = _timeouts(connect_timeout_s, connect_timeout_s)
    if settings.uses_tls:
        options |= {"ssl": True, **tls_options(settings)}
    if settings.sentinel_password:
        options["credential_provider"] = HiddenLogin(
            settings.sentinel_username, settings.sentinel_password
        )
    return options


class HiddenLogin(UsernamePasswordCredentialProvider):
    """A login that no page or report shows: Celery sends its options to who inspects."""

    def __repr__(self) -> str:
        """Hide it in `celery report`."""
        return "***"

    def __json__(self) -> str:
        """Hide it in answers to `celery inspect` (kombu asks for this method)."""
        return "***"


def _timeouts(connect_s: float, answer_s: float) -> dict[str, Any]:
    return {"socket_connect_timeout": connect_s, "socket_timeout": answer_s}
