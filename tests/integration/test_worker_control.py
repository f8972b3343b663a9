"""`celery control` and `celery inspect` on a real worker."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentsched.ledger.values import State
from tests.integration.worker_rig import WorkerRig
from tests.support.model_server import Answer, Hang, Hold
from tests.support.redis_servers import Valkey
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(90)

PASSWORD = "the-redis-password"
ONE = {"reply": True, "limit": 1, "timeout": 20}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerRig]:
    """A worker with one thread; the model could have three. Redis wants a password."""
    root = tmp_path_factory.mktemp("worker")
    with (
        Valkey(root / "valkey", password=PASSWORD) as server,
        WorkerRig(root, server.url, {"gpt-4": 3}) as rig,
    ):
        rig.ready_worker("-Q", "gpt4", "-c", "1", "-l", "DEBUG")
        yield rig


def has_slots(rig: WorkerRig, count: int) -> None:
    eventually(
        lambda: rig.ledger.membership.live_slots() == {"gpt-4": count},
        message=f"the heartbeat says {count} slots",
    )


def test_the_slots_follow_the_pool_up_to_the_capacity(shared: WorkerRig) -> None:
    assert shared.app.control.pool_grow(1, **ONE)
    has_slots(shared, 2)
    seen = threading.Event()
    shared.server.then("gpt-4", *[Hold(seen.is_set)] * 2)
    both = [shared.request() for _ in range(2)]
    eventually(lambda: shared.server.in_flight() == 2, message="both run at once")

    assert shared.app.control.pool_grow(9, **ONE)
    has_slots(shared, 3)  # of 11 threads: the capacity stays what it is
    assert shared.app.control.pool_shrink(10, **ONE)
    has_slots(shared, 1)
    seen.set()
    for key in both:
        assert shared.reply_to(key)["status"] == "completed"

    # One thread means one call: the second one waits.
    shared.server.then("gpt-4", Answer(delay_s=0.5))
    for key in [shared.request() for _ in range(3)]:
        shared.reply_to(key)
    assert shared.server.peak_in_flight() == 2


def test_a_pool_never_shrinks_to_nothing(shared: WorkerRig) -> None:
    shared.app.control.pool_shrink(5, **ONE)
    assert shared.reply_to(shared.request())["status"] == "completed"
    (node,) = shared.inspect().values()
    assert (node["pool"]["max-concurrency"], node["prefetch_count"]) == (1, 1)


def test_time_limits_can_be_set_while_it_runs(shared: WorkerRig) -> None:
    shared.app.control.time_limit("agentsched.run", soft=0.3, hard=20, **ONE)
    shared.server.then("gpt-4", Hang())
    error = shared.reply_to(shared.request())["error"]
    assert error["code"] == "TIME_LIMIT_EXCEEDED"
    assert "soft time limit of 0.3 s" in error["message"]
    eventually(lambda: shared.server.in_flight() == 0, message="the call is closed")
    eventually(lambda: shared.ledger.totals(shared.epoch)["gpt-4"].in_flight == 0)

    shared.app.control.time_limit("agentsched.run", soft=None, hard=None, **ONE)
    shared.server.then("gpt-4", Answer(delay_s=0.6))
    assert shared.reply_to(shared.request())["status"] == "completed"


def inspected(rig: WorkerRig) -> dict[str, Any]:
    """What each command of `celery inspect` shows of the worker."""
    inspect = rig.app.control.inspect(timeout=20)
    inspect.limit = 1
    shown = {
        name: getattr(inspect, name)()
        for name in (
            "active",
            "reserved",
            "revoked",
            "stats",
            "report",
            "scheduled",
            "registered",
            "active_queues",
        )
    }
    shown["conf"] = inspect.conf(with_defaults=True)
    return {name: next(iter(nodes.values())) for name, nodes in shown.items()}


def test_inspect_shows_model_class_and_agent_and_nothing_secret(
    shared: WorkerRig,
) -> None:
    shared.server.then("gpt-4", Hang())
    key = shared.request(content="the-secret-prompt")
    eventually(lambda: shared.server.in_flight() == 1, message="it runs")

    shown = inspected(shared)

    (task,) = shown["active"]
    kwargs = task["kwargs"]
    assert (kwargs["model"], kwargs["cls"], kwargs["agent_id"]) == (
        "gpt-4",
        "high",
        "agent",
    )
    assert kwargs["correlation_id"] == f"c-{key}"
    assert shown["stats"]["pool"]["slots"] == {"gpt-4": 1}
    assert "celery:5.6.3" in shown["report"]["ok"]
    everything = json.dumps(shown) + shared.log()
    assert [
        secret for secret in (PASSWORD, "the-secret-prompt") if secret in everything
    ] == []
    shared.app.control.terminate(task["id"])
    shared.reply_to(key)


def test_remote_shutdown_is_a_warm_one(redis_url: str, tmp_path: Path) -> None:
    with WorkerRig(tmp_path, redis_url, {"gpt-4": 2}, drain_s=4) as rig:
        process = rig.ready_worker("-Q", "gpt4")
        stopping = threading.Event()
        rig.server.then("gpt-4", Hold(stopping.is_set), Hang())
        short = rig.request()
        rig.wait_for_calls(1)
        endless = rig.request()
        rig.wait_for_calls(2)

        rig.app.control.shutdown()

        eventually(
            lambda: not rig.ledger.membership.live_slots(), message="it offers no slots"
        )
        stopping.set()
        assert process.wait(240) == 0
        assert rig.reply_to(short)["status"] == "completed"
        assert rig.state(endless) is State.READY
        assert rig.replies.counts().keys() == {f"c-{short}"}


def test_the_limits_of_the_command_line_hold(redis_url: str, tmp_path: Path) -> None:
    with WorkerRig(tmp_path, redis_url, {"gpt-4": 1}) as rig:
        rig.ready_worker("-Q", "gpt4", "--soft-time-limit", "1", "--time-limit", "60")
        rig.server.then("gpt-4", Hang())
        error = rig.reply_to(rig.request())["error"]
        assert error["message"].endswith("soft time limit of 1 s")


def test_limits_of_an_annotation_win_over_the_command_line(
    redis_url: str, tmp_path: Path
) -> None:
    annotations = {"agentsched.run": {"time_limit": 0.5}}
    (tmp_path / "mine.py").write_text(f"task_annotations = {annotations}")
    with WorkerRig(tmp_path, redis_url, {"gpt-4": 1}) as rig:
        rig.ready_worker("--time-limit", "60", config="mine")
        rig.server.then("gpt-4", Hang())
        error = rig.reply_to(rig.request())["error"]
        assert (error["code"], error["retryable"]) == ("TIME_LIMIT_EXCEEDED", True)
        assert error["message"].endswith("hard time limit of 0.5 s")
