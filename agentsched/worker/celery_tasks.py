"""Shows Celery the requests that run in the slots: each is a task, however it began.

Celery's own state and its events belong to the consumer's loop, so what happens is noted
in the loop of the slots, and told there in batches.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from celery.worker import state as worker_state
from typing_extensions import override

from agentsched.ledger.turns import Taken
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
MAX_NEWS = 10_000
"""That wait for Celery's loop; while it stands still, no more starts are shown."""
RUNS_AGAIN = (Ended.PUT_BACK, Ended.STALE, Ended.UNAVAILABLE, Ended.BUG)


@dataclass(frozen=True, slots=True)
class Start:
    """What is shown of a request that has started."""

    at_s: float
    epoch: str
    taken: Taken
    """Without its payload: Celery's loop may be far behind."""


@dataclass(frozen=True, slots=True)
class End:
    """What is shown of how it ended."""

    at_s: float
    lease_id: str
    ended: Ended
    failure: str
    """Why there is no answer of the model; "": there is one."""


class ShownRequest:
    """One request, as Celery's remote control wants to see it."""

    acknowledged = True
    """Its doorbell, if it had one: nothing comes again when the worker goes."""
    eta = expires = None
    name = TASK_NAME

    def __init__(self, task: "Task[Any, Any]", start: "Start", hostname: str) -> None:
        taken = start.taken
        facts = taken.facts
        self.task = task
        self.taken = taken
        self.epoch = start.epoch
        self.ids = tuple(task_ids(taken.key, start.epoch, taken.turn))
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
        self.time_start = start.at_s

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002  (Celery calls it so)
        """Return what `celery inspect active` shows: as if its doorbell had begun it."""
        taken = self.taken
        bell = Doorbell.of(taken.facts, taken.turn, self.epoch, taken.model)
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
        self._news: deque[Start | End] = deque()
        self._noted: set[str] = set()
        """Lease ids of the starts that are shown, or will be."""
        self._due = False
        self._shown: dict[str, ShownRequest] = {}
        """By lease id."""

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
        if len(self._news) >= MAX_NEWS:
            return
        self._noted.add(run.taken.lease_id)
        taken = replace(run.taken, payload=b"")
        self._note(Start(time.time(), run.epoch, taken))

    @override
    def ended(self, run: Run, ended: Ended) -> None:
        lease_id = run.taken.lease_id
        if lease_id in self._noted:
            self._noted.discard(lease_id)
            self._note(End(time.time(), lease_id, ended, _failure(run, ended)))

    @override
    def waiting(self) -> None:
        # The loop looks for doorbells only when it turns.
        self._pool.tell(lambda: None)

    def _note(self, news: Start | End) -> None:
        self._news.append(news)
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
            shown.taken.key
            for shown in self._shown.values()
            if wanted.intersection(shown.ids)
        ]

    def catch_up(self) -> None:
        """Tell Celery what has happened since the last time."""
        while self._news:
            news = self._news.popleft()
            if isinstance(news, Start):
                self._show_start(news)
            else:
                self._show_end(news)

    def _show_start(self, start: Start) -> None:
        at_s = start.at_s
        shown: Any = ShownRequest(self._task, start, self._consumer.hostname)
        self._shown[start.taken.lease_id] = shown
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
            retries=start.taken.attempt - 1,
            eta=None,
            expires=None,
        )
        self._send("task-started", at_s, uuid=shown.id)

    def _show_end(self, end: End) -> None:
        at_s, ended, failure = end.at_s, end.ended, end.failure
        shown: Any = self._shown.pop(end.lease_id)
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
