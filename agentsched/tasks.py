"""The Celery task: from a doorbell to the execution, and nothing in between."""

from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore

from agentsched.celery import app
from agentsched.errors import CodecError
from agentsched.telemetry.events import BUG, DOORBELL_REFUSED
from agentsched.telemetry.logs import say, where
from agentsched.wire.doorbell import TASK_NAME, Doorbell
from agentsched.worker import runtime
from agentsched.worker.execution import Ended
from agentsched.worker.remote_control import is_revoked
from agentsched.worker.time_limits import TimeLimits

if TYPE_CHECKING:
    from celery import Task


@app.task(name=TASK_NAME, bind=True, acks_late=True, ignore_result=True)
def run(self: "Task[Any, Any]", /, **wire: Any) -> str:  # noqa: ANN401  (what another version of us may send)
    """Work on one request until its reply is in Kafka; returns how it ended.

    It ends without an error always: Celery would log the exception's text, and could
    do nothing about it. What a bug left undone runs again when its lease is over.

    Raises:
        Ignore: the request was cancelled while it ran, as Celery has said already.
    """
    try:
        ended = _run(self, Doorbell.from_wire(wire))
    except CodecError as error:
        say(DOORBELL_REFUSED, detail=error.detail)
        return "refused"
    except Exception as error:  # noqa: BLE001  (a process edge)
        # Where and what class; the text may hold a part of a request.
        say(
            BUG,
            error=type(error).__name__,
            where=where(error.__traceback__),
            correlation_id=wire.get("correlation_id"),
        )
        return "bug"
    if ended is Ended.CANCELLED:
        raise Ignore
    return ended.value


def _run(task: "Task[Any, Any]", doorbell: Doorbell) -> Ended:
    opened = runtime.current()
    if not is_revoked(doorbell):
        return opened.execution.run(doorbell, _limits(task).over(opened.limits))
    opened.revokes.dropped(doorbell)
    return Ended.REVOKED


def _limits(task: "Task[Any, Any]") -> TimeLimits:
    """Return the message's limits, else the task's, as they are now."""
    hard_s, soft_s = task.request.timelimit or (None, None)
    return TimeLimits(soft_s, hard_s).over(
        TimeLimits(task.soft_time_limit, task.time_limit)
    )
