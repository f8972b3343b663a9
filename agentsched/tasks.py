"""The Celery task: what a doorbell is for Celery. Its strategy wakes a slot."""

from typing import Any

from agentsched.celery import app
from agentsched.wire.doorbell import TASK_NAME


@app.task(
    name=TASK_NAME,
    acks_late=True,
    ignore_result=True,
    Strategy="agentsched.worker.strategy:doorbell_strategy",
)
def run(**wire: Any) -> None:  # noqa: ANN401  (what another version of us may send)
    """Stand for a request in Celery; it is never called.

    Requests run in the slots of a worker (`agentsched.worker.slots`): a doorbell says
    that one waits, and the strategy wakes a slot, which takes what is first then.

    Raises:
        RuntimeError: something called it outside of `celery worker`.
    """
    del wire
    raise RuntimeError("doorbells ring in `celery -A agentsched worker` only")
