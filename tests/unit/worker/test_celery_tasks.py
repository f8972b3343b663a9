"""What Celery is shown of the requests that run, and what that may cost."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state as worker_state

from agentsched.ledger.turns import Taken
from agentsched.worker import celery_tasks
from agentsched.worker.call_result import CallResult, Job
from agentsched.worker.celery_tasks import CeleryTasks
from agentsched.worker.execution import Ended, Run
from agentsched.worker.leases import HeldLease
from agentsched.worker.time_limits import NO_LIMITS
from tests.support.requests import facts

PROMPT = b"the prompt"


def run_of(lease_id: str) -> Run:
    taken = Taken("k", lease_id, facts(), PROMPT, "", "m", "e", 1, 1, 1000, 0, 0)
    run = Run(taken, "e1", HeldLease("e1", "k", lease_id), Job.of(taken, 0.0))
    outcome: Any = None
    run.answer = CallResult(b"the reply", outcome)
    return run


@pytest.fixture
def tasks() -> CeleryTasks:
    """Of a consumer whose loop turns when the test calls `catch_up`."""
    consumer = SimpleNamespace(
        hostname="w", event_dispatcher=None, pool=SimpleNamespace(tell=lambda _: None)
    )
    task: Any = SimpleNamespace(send_events=True)
    return CeleryTasks(task, consumer, NO_LIMITS)


async def serve(tasks: CeleryTasks, *lease_ids: str) -> None:
    for lease_id in lease_ids:
        run = run_of(lease_id)
        tasks.started(run)
        tasks.ended(run, Ended.ANSWERED)


def test_what_waits_for_celery_holds_neither_prompt_nor_reply(
    tasks: CeleryTasks,
) -> None:
    asyncio.run(serve(tasks, "l1"))
    assert len(tasks._news) == 2
    assert "the " not in repr(tasks._news)


def test_so_much_waits_for_celery_and_no_more(
    tasks: CeleryTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celery_tasks, "MAX_NEWS", 3)
    before = len(worker_state.active_requests)
    asyncio.run(serve(tasks, *(f"l{n}" for n in range(9))))
    assert len(tasks._news) == 4
    tasks.catch_up()
    assert (tasks._shown, tasks._noted) == ({}, set())
    assert len(worker_state.active_requests) == before
    asyncio.run(serve(tasks, "next"))
    assert len(tasks._news) == 2
