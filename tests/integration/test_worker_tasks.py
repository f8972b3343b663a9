"""For Celery and Flower every request is a task of its own, whichever way it began."""

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.integration.worker_rig import WorkerRig
from tests.support.model_server import Hang, Hold, Refuse
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(90)


class Events:
    """All events of tasks, as Flower gets them."""

    def __init__(self, rig: WorkerRig) -> None:
        self._rig = rig
        self._seen: list[dict[str, Any]] = []
        self._stopped = threading.Event()
        url = rig.settings.redis.url
        self._heard = redis.Redis.from_url(url).pubsub()
        self._heard.psubscribe(f"{rig.settings.namespace}:*celeryev/task.*")
        assert self._heard.get_message(timeout=60)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def of(self, key: str, turn: int = 1) -> list[str]:
        """The types of one task's events, in their order."""
        wanted = self._rig.doorbell(key, turn=turn).task_id
        return [one["type"] for one in tuple(self._seen) if one["uuid"] == wanted]

    def one(self, key: str, kind: str) -> dict[str, Any]:
        """The one event of this type."""
        wanted = self._rig.doorbell(key).task_id
        (event,) = [
            one for one in self._seen if (one["uuid"], one["type"]) == (wanted, kind)
        ]
        return event

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stopped.is_set():
            if message := self._heard.get_message(timeout=0.2):
                body = json.loads(message["data"])["body"]
                told = json.loads(base64.b64decode(body))
                self._seen += told if isinstance(told, list) else [told]
        self._heard.close()


@pytest.fixture(scope="module")
def rig(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerRig]:
    """One worker with two slots."""
    root = tmp_path_factory.mktemp("worker")
    with WorkerRig(root, redis_url, {"gpt-4": 2}) as rig:
        rig.ready_worker("-Q", "gpt4", "-l", "INFO")
        yield rig


@pytest.fixture(scope="module")
def events(rig: WorkerRig) -> Iterator[Events]:
    events = Events(rig)
    yield events
    events.stop()


def inspected(rig: WorkerRig, command: str, *args: Any) -> Any:
    inspect = rig.app.control.inspect(timeout=20)
    inspect.limit = 1
    return next(iter(getattr(inspect, command)(*args).values()))


ANSWERED = ["task-received", "task-started", "task-succeeded"]


def test_what_a_slot_takes_itself_has_the_events_of_a_task(
    rig: WorkerRig, events: Events
) -> None:
    keys = [rig.admitted() for _ in range(5)]
    rig.plan()
    rig.doorbells.ring([rig.doorbell(keys[0])])  # one bell for all of them
    for key in keys:
        rig.reply_to(key)
    for key in keys:
        eventually(lambda key=key: events.of(key) == ANSWERED)
    received = events.one(keys[4], "task-received")
    assert received["name"] == "agentsched.run"
    assert f"'correlation_id': 'c-{keys[4]}'" in received["kwargs"]
    assert events.one(keys[4], "task-succeeded")["result"] == "'answered'"


def test_a_failed_reply_is_a_task_that_failed_with_its_code(
    rig: WorkerRig, events: Events
) -> None:
    rig.server.then("gpt-4", Refuse(400, '{"error": {"message": "the-secret"}}'))
    key = rig.request()
    assert rig.reply_to(key)["status"] == "failed"
    eventually(
        lambda: events.of(key) == ["task-received", "task-started", "task-failed"]
    )
    assert events.one(key, "task-failed")["exception"] == "MODEL_REJECTED"


def test_a_terminated_request_is_a_revoked_task(rig: WorkerRig, events: Events) -> None:
    rig.server.then("gpt-4", Hang())
    key = rig.request()
    eventually(lambda: rig.server.in_flight() == 1)
    rig.app.control.terminate(rig.doorbell(key).task_id)
    rig.reply_to(key)
    eventually(
        lambda: events.of(key) == ["task-received", "task-started", "task-revoked"]
    )
    assert events.one(key, "task-revoked")["terminated"]


def test_what_runs_is_active_and_nothing_is_reserved(rig: WorkerRig) -> None:
    seen = threading.Event()
    rig.server.then("gpt-4", *[Hold(seen.is_set)] * 2)
    keys = [rig.admitted() for _ in range(3)]
    rig.ring(*keys)
    eventually(lambda: rig.server.in_flight() == 2)
    try:
        active = inspected(rig, "active")
        assert {one["kwargs"]["key"] for one in active} == set(keys[:2])
        assert inspected(rig, "reserved") == []
        asked = [rig.doorbell(key).task_id for key in keys]
        (state, told), *_ = inspected(rig, "query_task", asked).values()
        assert (state, told["name"]) == ("active", "agentsched.run")
        assert set(inspected(rig, "query_task", asked)) == set(asked[:2])
    finally:
        seen.set()
    for key in keys:
        rig.reply_to(key)
    eventually(lambda: inspected(rig, "active") == [])


def test_stats_count_every_request(rig: WorkerRig) -> None:
    before = inspected(rig, "stats")["total"].get("agentsched.run", 0)
    keys = [rig.admitted() for _ in range(4)]
    rig.ring(keys[0])
    for key in keys:
        rig.reply_to(key)
    eventually(lambda: inspected(rig, "stats")["total"]["agentsched.run"] == before + 4)


def test_a_busy_worker_leaves_doorbells_to_others(
    redis_url: str, tmp_path: Path
) -> None:
    with WorkerRig(tmp_path, redis_url, {"gpt-4": 1}) as rig:
        rig.ready_worker("-Q", "gpt4", "-n", "busy@%h")
        seen = threading.Event()
        rig.server.then("gpt-4", Hold(seen.is_set))
        first = rig.request()
        eventually(lambda: rig.server.in_flight() == 1)
        rig.worker("-Q", "gpt4", "-n", "free@%h")
        eventually(
            lambda: rig.ledger.membership.live_slots() == {"gpt-4": 2}, timeout_s=40
        )
        # One doorbell for each, and the busy one takes none of them away.
        for _ in range(5):
            assert rig.reply_to(rig.request())["status"] == "completed"
        seen.set()
        rig.reply_to(first)


def test_tasks_that_end_while_the_worker_drains_are_told(
    redis_url: str, tmp_path: Path
) -> None:
    with WorkerRig(tmp_path, redis_url, {"gpt-4": 1}) as rig:
        process = rig.ready_worker("-Q", "gpt4")
        listening = Events(rig)
        seen = threading.Event()
        rig.server.then("gpt-4", Hold(seen.is_set))
        key = rig.request()
        eventually(lambda: events_begun(listening, key))
        process.terminate()
        eventually(lambda: not rig.ledger.membership.live_slots())
        seen.set()
        assert process.wait(240) == 0
        eventually(lambda: listening.of(key) == ANSWERED)
        listening.stop()


def events_begun(events: Events, key: str) -> bool:
    return events.of(key) == ["task-received", "task-started"]


def test_a_message_that_is_no_doorbell_is_dropped_and_said(rig: WorkerRig) -> None:
    rig.app.send_task("agentsched.run", kwargs={"version": 99}, queue="gpt4")
    eventually(lambda: "doorbell_refused" in rig.log())
    eventually(lambda: rig.doorbells.waiting("gpt4") == 0)
    assert rig.reply_to(rig.request())["status"] == "completed"
