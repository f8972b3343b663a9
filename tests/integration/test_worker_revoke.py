"""`celery revoke` on real workers: the request is cancelled, whatever rang for it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentsched.doorbell import task_ids
from agentsched.ledger.records import State
from tests.integration.worker_rig import WorkerRig
from tests.support.model_server import Answer, Hang
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def shared(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerRig]:
    """One worker with one slot, for the tests that leave it alive."""
    root = tmp_path_factory.mktemp("worker")
    with WorkerRig(root, redis_url, {"gpt-4": 1}) as rig:
        rig.ready_worker("-Q", "gpt4", "-l", "INFO")
        yield rig


def task_id(rig: WorkerRig, key: str, ring: int = 1) -> str:
    return next(task_ids(key, rig.epoch, ring))


def calls_of(rig: WorkerRig, key: str) -> int:
    return sum(key in call.prompt for call in rig.server.calls)


def running(rig: WorkerRig, step: Answer | Hang) -> str:
    """A request whose call has begun."""
    rig.server.then("gpt-4", step)
    key = rig.request()
    eventually(lambda: calls_of(rig, key) == 1, message="its call begins")
    return key


def test_what_waits_is_cancelled_at_once_and_never_runs(shared: WorkerRig) -> None:
    before = running(shared, Hang())
    waiting = shared.request()

    shared.app.control.revoke(task_id(shared, waiting))

    assert shared.reply_to(waiting)["error"] == {
        "code": "CANCELLED",
        "message": "the request was cancelled",
        "retryable": False,
    }
    shared.wait_for_state(waiting, State.ANSWERED)
    # Its doorbell comes to the worker when the slot is free, and is dropped.
    shared.app.control.terminate(task_id(shared, before))
    after = shared.request()
    assert shared.reply_to(after)["status"] == "completed"
    assert calls_of(shared, waiting) == 0
    assert shared.replies.counts()[f"c-{waiting}"] == 1


def test_what_runs_goes_on_without_terminate(shared: WorkerRig) -> None:
    key = running(shared, Answer(delay_s=1))
    assert shared.app.control.revoke(
        task_id(shared, key), reply=True, limit=1, timeout=20
    )
    assert shared.reply_to(key)["status"] == "completed"


def test_terminate_aborts_the_call_and_frees_its_slot(shared: WorkerRig) -> None:
    key = running(shared, Hang())

    shared.app.control.revoke(task_id(shared, key), terminate=True)

    reply = shared.reply_to(key)
    assert (reply["error"]["code"], reply["attempts"]) == ("CANCELLED", 1)
    eventually(lambda: shared.server.in_flight() == 0, message="the call is closed")
    eventually(lambda: shared.ledger.totals(shared.epoch)["gpt-4"].in_flight == 0)
    # The thread is free, too.
    assert shared.reply_to(shared.request())["status"] == "completed"
    assert shared.replies.counts()[f"c-{key}"] == 1


def test_a_request_is_named_by_every_ring_it_had(shared: WorkerRig) -> None:
    key = shared.reserved()
    # The first doorbell is lost: the request is rung again under another task id.
    assert shared.ledger.ring_again(shared.epoch, key, 1)
    shared.app.control.revoke(task_id(shared, key, ring=1))
    assert shared.reply_to(key)["error"]["code"] == "CANCELLED"


def test_a_request_that_waits_for_another_try_is_cancelled(shared: WorkerRig) -> None:
    key = shared.reserved(session_id="s-1")
    assert shared.ledger.unreserve(shared.epoch, key, 1)

    shared.app.control.revoke(task_id(shared, key))

    reply = shared.reply_to(key)
    assert (reply["error"]["code"], reply["session_id"]) == ("CANCELLED", "s-1")


def test_a_doorbell_that_comes_after_the_revoke_cancels_its_request(
    shared: WorkerRig,
) -> None:
    key = shared.reserved()
    # As if the worker had heard of it from another one, or could not reach Redis.
    shared.app.control.revoke(
        task_id(shared, key, ring=7), reply=True, limit=1, timeout=20
    )
    for ring in range(1, 8):
        shared.ledger.ring_again(shared.epoch, key, ring)
    assert shared.state(key) is State.RUNG

    shared.doorbells.ring([shared.doorbell(key, ring=8)])

    assert shared.reply_to(key)["error"]["code"] == "CANCELLED"
    assert calls_of(shared, key) == 0


def test_the_commands_of_celery_do_the_same(shared: WorkerRig) -> None:
    before = running(shared, Hang())
    waiting = shared.request()

    said = celery(shared, "control", "revoke", task_id(shared, waiting))
    assert "calls that run go on" in said
    assert shared.reply_to(waiting)["error"]["code"] == "CANCELLED"

    said = celery(shared, "control", "terminate", "TERM", task_id(shared, before))
    assert "calls are aborted" in said
    assert shared.reply_to(before)["error"]["code"] == "CANCELLED"


def celery(rig: WorkerRig, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "agentsched", *words],
        cwd=rig.root,
        env=rig.environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout


def test_an_unknown_task_id_is_said_in_the_log(shared: WorkerRig) -> None:
    shared.app.control.revoke("no-such-task")
    eventually(
        lambda: "no unanswered request has the task ids no-such-task" in shared.log(),
        message="the log says so",
    )


def test_one_of_several_workers_answers(redis_url: str, tmp_path: Path) -> None:
    with WorkerRig(tmp_path, redis_url, {"gpt-4": 2}) as rig:
        for name in ("a", "b"):
            rig.worker("-Q", "gpt4", "-n", f"{name}@%h")
        eventually(lambda: rig.ledger.live_slots() == {"gpt-4": 4}, timeout_s=40)
        keys = [rig.reserved() for _ in range(20)]
        ids = [task_id(rig, key) for key in keys]

        assert len(rig.app.control.revoke(ids, reply=True, limit=2, timeout=20)) == 2

        codes = [rig.reply_to(key)["error"]["code"] for key in keys]
        assert codes == ["CANCELLED"] * 20
        for key in keys:
            rig.wait_for_state(key, State.ANSWERED)
        assert set(rig.replies.counts().values()) == {1}


def test_a_revoked_request_that_ran_is_not_run_again(
    redis_url: str, tmp_path: Path
) -> None:
    """Without terminate its call went on; then its worker died."""
    with WorkerRig(tmp_path, redis_url, {"gpt-4": 1}, lease_s=1, renew_s=0.2) as rig:
        dying = rig.ready_worker("-Q", "gpt4", "-n", "dying@%h")
        key = running(rig, Hang())
        rig.worker("-Q", "gpt4", "-n", "heir@%h")
        eventually(lambda: rig.ledger.live_slots() == {"gpt-4": 2}, timeout_s=40)
        heard = rig.app.control.revoke(
            task_id(rig, key), reply=True, limit=2, timeout=20
        )
        assert len(heard) == 2

        dying.kill()
        eventually(lambda: rig.ledger.expire(rig.epoch, key), message="the lease ends")
        rig.ring_next(key, ring=2)

        assert rig.reply_to(key)["error"]["code"] == "CANCELLED"
        assert calls_of(rig, key) == 1
