"""The Celery task: from a doorbell to the execution, and nothing in between."""

import logging
import traceback
from typing import Any

from agentsched import runtime
from agentsched.celery import app
from agentsched.doorbell import TASK_NAME, Doorbell
from agentsched.errors import CodecError

logger = logging.getLogger(__name__)


@app.task(name=TASK_NAME, acks_late=True, ignore_result=True)
def run(**wire: Any) -> str:  # noqa: ANN401  (what another version of us may send)
    """Work on one request until its reply is in Kafka; returns how it ended.

    It ends without an error always: Celery would log the exception's text, and could
    do nothing about it. What a bug left undone runs again when its lease is over.
    """
    try:
        doorbell = Doorbell.from_wire(wire)
        return runtime.current().execution.run(doorbell).value
    except CodecError as error:
        logger.warning("doorbell refused: %s", error)
        return "refused"
    except Exception as error:  # noqa: BLE001  (a process edge)
        # Where and what class; the text may hold a part of a request.
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.error(  # noqa: TRY400
            "bug: %s at correlation_id=%r\n%s",
            type(error).__name__,
            wire.get("correlation_id"),
            where,
        )
        return "bug"
