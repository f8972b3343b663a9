"""Shows Celery the requests that run in the slots: each is a task, however it began.

Celery's own state and its events belong to the consumer's loop, so what happens is noted
in the loop of the slots, and told there in batches.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from celery.worker import state as worker_state
from typing_extensions import override

from agentsched.wire.doorbell import TASK_NAME, Doorbell, task_ids
from agentsched.worker.execution import Ended, Run
from agentsched.worker.task_view import TaskView
from agentsched.worker.time_limits import TimeLimits

if TYPE_CHECKING:
    from celery import Task

    from agentsched.worker.thread_pool import TaskPool

TELL_EVERY_S = 0.05
"""Events that come together cost a tenth of what they cost one by one."""
EVENTS_AT_ONCE = 256
RUNS_AGAIN = (Ended.PUT_BACK, Ended.STALE, Ended.UNAVAILABLE, Ended.BUG)


class ShownRequest:
    """One request, as Celery's remote control wants to see it."""

    acknowledged = True
    """Its doorbell, if it had one: nothing comes again when the worker goes."""
    eta = expires = None
    name = TASK_NAME

    def __init__(self, task: "Task[Any, Any]", run: Run, hostname: str) -> None:
        facts, taken = run.taken.facts, run.taken
        self.task = task
        self.run = run
        self.ids = tuple(task_ids(taken.key, run.epoch, taken.turn))
        self.id = self.root_id = self.ids[0]
        self.argsrepr = "()"
        self.kwargsrepr = repr(
            {
                "model": taken.model,
                "class": facts.cls,
                "agent_id": facts.agent_id,
                "correlation_id": facts.correlation_id,
            }
        )
        self.hostname = hostname
        self.time_start = time.time()

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002  (Celery calls it so)
        """Return what `celery inspect active` shows: as if its doorbell had begun it."""
        taken, epoch = self.run.taken, self.run.epoch
        bell = Doorbell.of(taken.facts, taken.turn, epoch, taken.model)
        return {
            "id": self.id,
            "name": self.name,
            "args": self.argsrepr if safe else [],
            "kwargs": self.kwargsrepr if safe else bell.to_wire(),
            "type": self.name,
            "hostname": self.hostname,
            "time_start": self.time_start,
            "acknowledged": self.acknowledged,
            "delivery_info": {},
            "worker_pid": os.getpid(),
        }

    def terminate(self, pool: object, signal: object = None) -> None:
        """Do nothing: our own `revoke` has stopped it."""

    def cancel(self, pool: object, signal: object = None, **_: object) -> None:
        """Do nothing: the keeper puts back what runs when the worker goes."""


class CeleryTasks(TaskView):
    """What this process runs, for Celery.

    Args:
        task: `agentsched.run`, with the time limits that remote control may set.
        consumer: Celery's, whose loop is told.
        limits: of the worker, where the task has none.
    """

    def __init__(
        self,
        task: "Task[Any, Any]",
        consumer: Any,  # noqa: ANN401
        limits: TimeLimits,
    ) -> None:
        self._task = task
        self._consumer = consumer
        self._pool: TaskPool = consumer.pool
        self._limits = limits
        self._news: deque[tuple[float, Run, Ended | None]] = deque()
        self._due = False
        self._shown: dict[Run, ShownRequest] = {}

    # -- in the loop of the slots -------------------------------------------------------

    @override
    def limits(self) -> TimeLimits:
        own = TimeLimits(self._task.soft_time_limit, self._task.time_limit)
        return own.over(self._limits)

    @override
    def revoked(self, run: Run) -> bool:
        return is_revoked(run.taken.key, run.epoch, run.taken.turn)

    @override
    def started(self, run: Run) -> None:
        self._note(run, None)

    @override
    def ended(self, run: Run, ended: Ended) -> None:
        self._note(run, ended)

    @override
    def waiting(self) -> None:
        # The loop looks for doorbells only when it turns.
        self._pool.tell(lambda: None)

    def _note(self, run: Run, ended: Ended | None) -> None:
        self._news.append((time.time(), run, ended))
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(TELL_EVERY_S, self._tell)

    def _tell(self) -> None:
        self._due = False
        self._pool.tell(self.catch_up)

    # -- in the consumer's loop ---------------------------------------------------------

    def named(self, ids: Iterable[str]) -> list[str]:
        """Return the keys of what runs here under these task ids."""
        self.catch_up()
        wanted = frozenset(ids)
        return [
            shown.run.taken.key
            for shown in self._shown.values()
            if wanted.intersection(shown.ids)
        ]

    def catch_up(self) -> None:
        """Tell Celery what has happened since the last time."""
        while self._news:
            at_s, run, ended = self._news.popleft()
            if ended is None:
                self._show_start(at_s, run)
            else:
                self._show_end(at_s, run, ended)

    def _show_start(self, at_s: float, run: Run) -> None:
        shown: Any = ShownRequest(self._task, run, self._consumer.hostname)
        shown.time_start = at_s
        self._shown[run] = shown
        worker_state.task_reserved(shown)
        worker_state.task_accepted(shown)
        self._send(
            "task-received",
            at_s,
            uuid=shown.id,
            name=shown.name,
            args=shown.argsrepr,
            kwargs=shown.kwargsrepr,
            root_id=shown.id,
            parent_id=None,
            retries=run.taken.attempt - 1,
            eta=None,
            expires=None,
        )
        self._send("task-started", at_s, uuid=shown.id)

    def _show_end(self, at_s: float, run: Run, ended: Ended) -> None:
        shown: Any = self._shown.pop(run)
        failure = _failure(run, ended)
        done = ended is not Ended.CANCELLED and not failure
        worker_state.task_ready(shown, successful=done)
        if ended is Ended.CANCELLED:
            told: dict[str, Any] = {
                "terminated": True,
                "signum": None,
                "expired": False,
            }
            self._send("task-revoked", at_s, uuid=shown.id, **told)
        elif ended in RUNS_AGAIN:
            self._send(
                "task-retried", at_s, uuid=shown.id, exception=failure, traceback=""
            )
        elif failure:
            self._send(
                "task-failed", at_s, uuid=shown.id, exception=failure, traceback=""
            )
        else:
            runtime = max(0.0, at_s - shown.time_start)
            self._send(
                "task-succeeded",
                at_s,
                uuid=shown.id,
                result=repr(ended.value),
                runtime=runtime,
            )

    def _send(self, kind: str, at_s: float, **fields: Any) -> None:  # noqa: ANN401
        eventer = self._consumer.event_dispatcher
        if eventer is not None and eventer.enabled and self._task.send_events:
            eventer.buffer_limit = EVENTS_AT_ONCE
            eventer.send(kind, timestamp=at_s, **fields)


def is_revoked(key: str, epoch: str, turn: int) -> bool:
    """Return whether this process has heard that a request, at any take, is revoked."""
    if not worker_state.revoked:
        return False
    return any(
        task_id in worker_state.revoked for task_id in task_ids(key, epoch, turn)
    )


def _failure(run: Run, ended: Ended) -> str:
    """Return why there is no answer of the model; "": there is one."""
    if ended in (Ended.ANSWERED, Ended.STORED):
        return run.answer.code if run.answer else ""
    return ended.value
