"""How a worker ends: what SIGTERM and SIGQUIT lead to, and when it gives up by itself.

Celery ends its tasks; what `leave` starts hands back what does not end in time.
"""

from typing import Any

from celery.platforms import EX_FAILURE
from celery.signals import worker_shutdown, worker_shutting_down
from celery.worker import state as worker_state

from agentsched.worker import runtime


def stop_worker() -> None:
    """Stop as SIGTERM does, with exit code 1; safe in every thread, and more than once."""
    stopping: Any = worker_state  # celery-types take its flags for None always
    if stopping.should_stop is None:
        stopping.should_stop = EX_FAILURE


@worker_shutting_down.connect(weak=False)
def leave(how: str, **_: object) -> None:
    """Say at once that no more work is taken; runs inside the signal handler."""
    if opened := runtime.opened():
        opened.leave(at_once=how == "Cold")


@worker_shutdown.connect(weak=False)
def close_runtime(**_: object) -> None:
    """Close the clients, after the last task."""
    runtime.close_runtime()
