"""What a worker does at the turns of its life, as Celery's signals tell them.

`celery worker` imports this module (setting `include`), and nothing else does. The
receivers only connect; what they call lives elsewhere.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import click
from celery.concurrency import get_implementation
from celery.signals import (
    celeryd_init,
    setup_logging,
    worker_ready,
)
from celery.utils.nodenames import default_nodename, nodesplit
from click.core import ParameterSource

from agentsched.config.loader import load_settings
from agentsched.errors import AgentSchedError, ConfigurationError
from agentsched.llm_backend.api_keys import read_api_key
from agentsched.preflight import insist
from agentsched.telemetry.events import CONFIGURATION_NOTE
from agentsched.telemetry.logs import configure, say
from agentsched.wire.doorbell import TASK_NAME
from agentsched.worker import runtime
from agentsched.worker.capacity import capacity_of, models_served, node_name, slots_of
from agentsched.worker.celery_tasks import CeleryTasks
from agentsched.worker.console import print_where_there_is_room
from agentsched.worker.shutdown import stop_worker
from agentsched.worker.thread_pool import TaskPool
from agentsched.worker.time_limits import TimeLimits

logger = logging.getLogger(__name__)


@celeryd_init.connect(weak=False)
def choose_capacity(
    instance: Any,  # noqa: ANN401  (celery.apps.worker.Worker, untyped)
    conf: Any,  # noqa: ANN401
    options: Mapping[str, Any],
    **_: object,
) -> None:
    """Set concurrency and node name from `-Q`; an explicit -c or -n wins.

    Raises:
        SystemExit: with one line, when this worker could not work.
    """
    print_where_there_is_room(instance)
    _refuse_what_cannot_work(options, conf)
    try:
        settings = load_settings()
        queues = _listed(options.get("queues"))
        models = models_served(
            settings.settings, queues, _listed(options.get("exclude_queues"))
        )
        insist(settings.settings)
        for endpoint in (e for model in models for e in model.endpoints):
            read_api_key(endpoint, os.environ)
    except ConfigurationError as error:
        raise SystemExit(f"agentsched worker: {error}") from None
    if not conf.worker_concurrency:
        conf.worker_concurrency = capacity_of(models)
    if queues and instance.hostname == default_nodename(""):
        instance.hostname = node_name(models, nodesplit(instance.hostname)[1])


def _refuse_what_cannot_work(options: Mapping[str, Any], conf: Any) -> None:  # noqa: ANN401
    if options.get("autoscale"):
        raise SystemExit(
            "agentsched worker: leave --autoscale out; idle slots cost nothing, and the"
            " model's capacity bounds the calls (-c N or `celery control pool_grow N`"
            " set the slots)"
        )
    pool = options.get("pool") or options.get("pool_cls") or conf.worker_pool
    if not issubclass(
        get_implementation(pool), TaskPool
    ):  # processes share no call loop and no leases
        raise SystemExit(
            "agentsched worker: leave -P out; calls run on AgentSched's own pool"
        )


def _listed(value: str | Sequence[str] | None) -> list[str]:
    names = value.split(",") if isinstance(value, str) else value or ()
    return [name for name in names if name]


@setup_logging.connect(weak=False)
def log_our_way(loglevel: int, logfile: str | None, **_: object) -> None:
    """Set up logging in Celery's place: one handler, one line for an event.

    An explicit -l wins over `logging.level`. That something is connected here keeps
    Celery from adding handlers of its own.
    """
    loaded = load_settings()
    level = loglevel if _stands_on_command_line("loglevel") else None
    configure(loaded.settings.logging, "worker", level=level, file=logfile)
    for note in loaded.notes:
        say(CONFIGURATION_NOTE, detail=note)


def _stands_on_command_line(option: str) -> bool:
    context = click.get_current_context(silent=True)
    if context is None:
        return True  # a program made this worker: what it says, it means
    source = context.get_parameter_source(option)
    return source not in (None, ParameterSource.DEFAULT)


@worker_ready.connect(weak=False)
def open_runtime(sender: Any, **_: object) -> None:  # noqa: ANN401
    """Make the clients, before the first doorbell and after the pool.

    Raises:
        SystemExit: an exception would leave a worker that takes doorbells and fails.
    """
    settings = load_settings().settings
    models = models_served(
        settings, [queue.name for queue in sender.task_consumer.queues]
    )
    pool, controller = sender.pool, sender.controller
    limits = TimeLimits(controller.soft_time_limit, controller.time_limit)

    def slots() -> dict[str, int]:
        return slots_of(models, pool.limit)

    try:
        opened = runtime.open_runtime(
            settings,
            worker_id=f"{sender.hostname}/{uuid4().hex[:8]}",
            slots=slots,
            limit=lambda: pool.limit,
            tasks=CeleryTasks(sender.app.tasks[TASK_NAME], sender, limits),
            give_up=stop_worker,
        )
    except AgentSchedError as error:
        logger.critical("the worker cannot start: %s", error)
        raise SystemExit(1) from None
    pool.slots = slots
    pool.on_leaving = opened.leave
    pool.on_resized = opened.slots.resized
    pool.on_ending = opened.wait
