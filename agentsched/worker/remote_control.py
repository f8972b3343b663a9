"""Remote control, where Celery's own commands do not mean what users of ours mean.

`celery control revoke` means a request, not only a doorbell. All of it runs in the
consumer's loop: nothing here blocks.
"""

import functools
from collections.abc import Callable
from typing import Any

from celery.platforms import EX_OK
from celery.utils.functional import maybe_list
from celery.worker import control as celery_control
from celery.worker import state as worker_state
from celery.worker.control import Panel, control_command

from agentsched.worker import runtime

Reply = dict[str, str]
Show = Callable[..., Any]


@control_command(name="revoke", variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
def revoke(
    state: Any,  # noqa: ANN401  (Celery's, untyped)
    task_id: str | list[str],
    terminate: bool = False,  # noqa: FBT001, FBT002  (Celery calls it so)
    signal: str | None = None,
    **_: Any,  # noqa: ANN401
) -> Reply:
    """Cancel the requests of these task ids; calls that run go on."""
    return _revoke(state, task_id, terminate=terminate, signal=signal)


@control_command(
    name="terminate",
    args=[("signal", str)],
    variadic="task_id",
    signature="<signal> [id1 [id2 [... [idN]]]]",
)
def terminate(
    state: Any,  # noqa: ANN401
    signal: str,
    task_id: str | list[str],
    **_: Any,  # noqa: ANN401
) -> Reply:
    """Cancel the requests of these task ids and abort their calls."""
    return _revoke(state, task_id, terminate=True, signal=signal)


@control_command(name="shutdown")
def shutdown(
    state: Any,  # noqa: ANN401, ARG001
    **_: Any,  # noqa: ANN401
) -> Reply:
    """Stop the worker as SIGTERM does; unlike Celery's own it answers."""
    stopping: Any = worker_state  # celery-types take its flags for None always
    stopping.should_stop = EX_OK  # the loop looks at it when this has been answered
    return {"ok": "running calls may end, the rest is handed back"}


def _up_to_date(show: Show) -> Show:
    @functools.wraps(show)
    def shown(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if opened := runtime.opened():
            opened.tasks.catch_up()
        return show(*args, **kwargs)

    return shown


for _name in (
    "active",
    "dump_active",
    "reserved",
    "dump_reserved",
    "query_task",
    "stats",
):
    Panel.data[_name] = _up_to_date(Panel.data[_name])


def _revoke(
    state: Any,  # noqa: ANN401
    task_id: str | list[str],
    *,
    terminate: bool,
    signal: str | None,
) -> Reply:
    ids = frozenset(maybe_list(task_id) or ())
    worker_state.revoked.update(ids)  # before anything asks for it
    if opened := runtime.opened():
        # Before Celery's own, which has the pool stop what runs for another reason.
        running = opened.tasks.named(ids) if terminate else None
        opened.revokes.revoke(ids, running)
    # celery-types has no commands.
    celery_control.revoke(state, list(ids), terminate=terminate, signal=signal)  # type: ignore[attr-defined]
    calls = "are aborted" if terminate else "that run go on"
    return {"ok": f"cancelled: the requests of {', '.join(sorted(ids))}; calls {calls}"}
