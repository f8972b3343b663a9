"""Settings -> Celery's own keys; pure. Every key that is not Celery's default says why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any
from urllib.parse import quote

from agentsched.celery.queues import (
    DEFAULT_PRIORITY,
    PRIORITY_STEPS,
    key_prefix,
    queue_of,
)
from agentsched.config.settings import RedisSettings, Settings
from agentsched.redis.client import sentinel_options, tls_options

VISIBILITY_TIMEOUT_S = 120
"""A doorbell that is unacknowledged for so long comes again; the ledger knows it then."""
INCLUDE = (
    "agentsched.tasks",
    "agentsched.worker.remote_control",
    "agentsched.worker.lifecycle",
)
"""What Celery's commands import: the task, our remote control, our signals."""
CONNECT_TIMEOUT_S = 5


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return the configuration of workers, bridges, `celery inspect` and Flower."""
    return {
        "include": INCLUDE,
        **_broker(settings),
        **_queues(settings),
        **_tasks(),
        **_worker(),
    }


def _broker(settings: Settings) -> dict[str, Any]:
    address = settings.redis.address
    return {
        # User and password beside it: workers send the URLs of all Sentinels to whoever
        # inspects them, and hide this password only.
        "broker_url": address.bare,
        "broker_user": address.username,
        "broker_password": address.password,
        "broker_use_ssl": tls_options(settings.redis)
        if settings.redis.uses_tls
        else None,
        "broker_failover_strategy": NextWithLogin(address.username, address.password),
        "broker_connection_retry_on_startup": True,
        # None: for ever. The default gives up after 100 tries, and the worker is gone.
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            # -Q order; round_robin would let a lower class of one queue overtake.
            "queue_order_strategy": "priority",
            "priority_steps": list(PRIORITY_STEPS),
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            # A worker killed in its sweep would block the others' for 300 s.
            "unacked_mutex_expire": 30,
            # Half-open connections are found after seconds, and nothing hangs for ever;
            # more than kombu's BRPOP waits, which is 1 s.
            "health_check_interval": 10,
            "socket_keepalive": True,
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_timeout": 10,
            **_sentinel(settings.redis),
            **_key_prefix(settings),
        },
    }


@dataclass(frozen=True, slots=True)
class NextWithLogin:
    """Names the next Sentinel to kombu, with the login that its URL does not show.

    Kombu takes user and password from each URL that it changes to, and forgets those
    that stand beside the first one.
    """

    username: str | None
    password: str | None = field(repr=False)

    def __call__(self, urls: Sequence[str]) -> Iterator[str]:
        """Yield them in turn, for ever."""
        login = f"{quote(self.username or '', '')}:{quote(self.password or '', '')}@"
        for url in cycle(urls):
            scheme, rest = url.split("://", 1)
            yield f"{scheme}://{login}{rest}" if self.password else url

    def __json__(self) -> str:
        """Return what `celery inspect` shows."""
        return "round-robin"


def _sentinel(settings: RedisSettings) -> dict[str, Any]:
    if not settings.address.is_sentinel:
        return {}
    return {
        "master_name": settings.sentinel_master,
        "sentinel_kwargs": sentinel_options(settings, CONNECT_TIMEOUT_S),
    }


def _key_prefix(settings: Settings) -> dict[str, str]:
    prefix = key_prefix(settings)
    return {"global_keyprefix": prefix} if prefix else {}


def _queues(settings: Settings) -> dict[str, Any]:
    queues = tuple(queue_of(model) for model in settings.models)
    default = {"task_default_queue": queues[0].name} if queues else {}
    return {
        "task_queues": queues,
        # A wrong -Q is an error, not a queue that nobody fills. The default queue must
        # then be one that is there.
        "task_create_missing_queues": False,
        "task_default_priority": DEFAULT_PRIORITY,  # else 0: the most urgent on Redis
        **default,
    }


def _tasks() -> dict[str, Any]:
    return {
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,  # replies go to Kafka; there is no result backend
        # Late acknowledgement and a prefetch of one: doorbells in flight are the
        # capacity, and the rest stays where a higher class can overtake it.
        "task_acks_late": True,
        "task_acks_on_failure_or_timeout": True,
        "worker_prefetch_multiplier": 1,
    }


def _worker() -> dict[str, Any]:
    return {
        "worker_pool": "agentsched.worker.thread_pool:TaskPool",
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_disable_rate_limits": True,  # limits belong to the ledger
        "worker_send_task_events": True,  # Flower; no cost that could be measured
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # leases outlive it
        # It would leave the slots of what ran then idle: one doorbell at once, and one
        # more for each that ends. Ours are no more than the slots that are free.
        "worker_enable_prefetch_count_reduction": False,
    }
