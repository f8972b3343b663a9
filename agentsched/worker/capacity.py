"""Which models a worker serves, and with how many slots; pure.

Owns the meaning of `-Q`. It talks to nobody.
"""

from collections.abc import Sequence

from agentsched.config.settings import ModelSettings, Settings
from agentsched.errors import ConfigurationError


def models_served(
    settings: Settings, queues: Sequence[str] = (), excluded: Sequence[str] = ()
) -> tuple[ModelSettings, ...]:
    """Return the models of `-Q` without those of `-X`; no `-Q`: all.

    Raises:
        ConfigurationError: a queue that no model owns, or none is left.
    """
    if not settings.models:
        raise ConfigurationError(
            "no models are configured, so there is nothing to serve: list them under"
            " `models:` in agentsched.yaml (or the file that AGENTSCHED_CONFIG names)"
        )
    known = [model.queue for model in settings.models]
    for name in (*queues, *excluded):
        if name not in known:
            raise ConfigurationError(
                f"no model has the queue {name!r}; known queues: {', '.join(known)}"
            )
    served = tuple(
        model
        for model in settings.models
        if (not queues or model.queue in queues) and model.queue not in excluded
    )
    if not served:
        raise ConfigurationError("-X excludes all queues: nothing is left to serve")
    return served


def capacity_of(models: Sequence[ModelSettings]) -> int:
    """Return how many requests may be in flight at once over these models."""
    return sum(model.capacity for model in models)


def slots_of(models: Sequence[ModelSettings], concurrency: int) -> dict[str, int]:
    """Return the slots per model of a pool with `concurrency` threads.

    Each model may use the whole pool, up to its capacity: together they may be more
    than the pool has, and then doorbells wait in their queues.
    """
    return {model.name: min(model.capacity, concurrency) for model in models}


def node_name(models: Sequence[ModelSettings], host: str) -> str:
    """Return a Celery node name that tells the pools of one host apart."""
    return f"{'+'.join(model.queue for model in models)}@{host}"
