"""`celery revoke` on a real worker: it has the request cancelled, whatever rang for it.

The bridge that then answers is in `test_revoke.py`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentsched.ledger.turns import HandBack, Turn
from agentsched.ledger.values import Ending, State
from agentsched.wire.doorbell import task_ids
from tests.integration.worker_rig import WorkerRig
from tests.support.model_server import Answer, Hang
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(90)

HEARD = {"reply": True, "limit": 1, "timeout": 20}


@pytest.fixture(scope="module")
def shared(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerRig]:
    """One worker with one slot, for the tests that leave it alive."""
    root = tmp_path_factory.mktemp("worker")
    with WorkerRig(root, redis_url, {"gpt-4": 1}) as rig:
        rig.ready_worker("-Q", "gpt4", "-l", "INFO")
        yield rig


def task_id(rig: WorkerRig, key: str, turn: int = 1) -> str:
    return next(task_ids(key, rig.epoch, turn))


def calls_of(rig: WorkerRig, key: str) -> int:
    return sum(key in call.prompt for call in rig.server.calls)


def running(rig: WorkerRig, step: Answer | Hang) -> str:
    """A request whose call has begun."""
    rig.server.then("gpt-4", step)
    key = rig.request()
    eventually(lambda: calls_of(rig, key) == 1, message="its call begins")
    return key


def cancelled(rig: WorkerRig, key: str) -> bool:
    (view,) = rig.ledger.inspect(rig.epoch, [key])
    return view is not None and view.ending is Ending.CANCELLED


def test_what_waits_is_cancelled_at_once_and_never_runs(shared: WorkerRig) -> None:
    before = running(shared, Hang())
    waiting = shared.request()

    shared.app.control.revoke(task_id(shared, waiting))
    eventually(lambda: cancelled(shared, waiting), message="it is cancelled")

    # Its doorbell comes to the worker when the slot is free, and starts nothing.
    shared.app.control.terminate(task_id(shared, before))
    assert shared.reply_to(shared.request())["status"] == "completed"
    assert calls_of(shared, waiting) == 0
    assert shared.state(waiting) is State.READY


def test_what_runs_goes_on_without_terminate(shared: WorkerRig) -> None:
    key = running(shared, Answer(delay_s=1))
    assert shared.app.control.revoke(task_id(shared, key), **HEARD)
    assert shared.reply_to(key)["status"] == "completed"


def test_terminate_aborts_the_call_and_frees_its_slot(shared: WorkerRig) -> None:
    key = running(shared, Hang())

    shared.app.control.revoke(task_id(shared, key), terminate=True)

    reply = shared.reply_to(key)
    assert reply["error"] == {
        "code": "CANCELLED",
        "message": "the request was cancelled",
        "retryable": False,
    }
    assert reply["attempts"] == 1
    eventually(lambda: shared.server.in_flight() == 0, message="the call is closed")
    shared.wait_for_state(key, State.ANSWERED)
    # Thread and slot are free.
    assert shared.reply_to(shared.request())["status"] == "completed"
    assert shared.replies.counts()[f"c-{key}"] == 1


def taken_before(rig: WorkerRig, key: str) -> None:
    """Another worker took the request, and gave it back."""
    rig.plan()
    rig.ledger.membership.beat_worker("other", {"gpt-4": 1}, 60_000)
    turn = Turn("other", 1, 0, 60_000, models=("gpt-4",), lease_ids=("theirs",))
    (taken,) = rig.ledger.turn(rig.epoch, turn).taken
    assert taken.key == key
    back = Turn("other", 2, 1, 60_000, hand_backs=(HandBack(key, "theirs"),))
    assert rig.ledger.turn(rig.epoch, back).put_back == (True,)
    rig.ledger.membership.leave_worker("other")


def test_a_request_is_named_by_every_take_it_had(shared: WorkerRig) -> None:
    before = running(shared, Hang())  # the worker is busy
    key = shared.admitted()
    taken_before(shared, key)
    shared.app.control.revoke(task_id(shared, key, turn=1))
    eventually(lambda: cancelled(shared, key), message="it is cancelled")
    shared.app.control.terminate(task_id(shared, before))
    assert shared.reply_to(before)["error"]["code"] == "CANCELLED"


def test_what_was_revoked_when_redis_was_away_is_not_called(shared: WorkerRig) -> None:
    key = shared.admitted()
    unborn = task_id(shared, key, turn=3)  # no take has it yet: it names nothing
    assert shared.app.control.revoke(unborn, **HEARD)
    worker_heard = task_id(shared, key, turn=1)
    assert shared.app.control.revoke(worker_heard, **HEARD)
    eventually(lambda: cancelled(shared, key), message="it is cancelled")
    shared.ring(key)
    eventually(lambda: shared.doorbells.waiting("gpt4") == 0)
    assert calls_of(shared, key) == 0


def test_the_commands_of_celery_do_the_same(shared: WorkerRig) -> None:
    before = running(shared, Hang())
    waiting = shared.request()

    (node,) = shared.inspect()
    # By default it waits a second, for as many answers as there may be.
    control = ["control", "--destination", node, "--timeout", "60"]
    said = shared.celery(*control, "revoke", task_id(shared, waiting)).stdout
    assert "calls that run go on" in said
    eventually(lambda: cancelled(shared, waiting), message="it is cancelled")

    said = shared.celery(*control, "terminate", "TERM", task_id(shared, before)).stdout
    assert "calls are aborted" in said
    assert shared.reply_to(before)["error"]["code"] == "CANCELLED"


def test_an_unknown_task_id_is_said_in_the_log(shared: WorkerRig) -> None:
    shared.app.control.revoke("no-such-task")
    eventually(
        lambda: '"unknown":["no-such-task"]' in shared.log(),
        message="the log says so",
    )


def test_a_revoked_request_that_ran_is_not_run_again(
    redis_url: str, tmp_path: Path
) -> None:
    """Without terminate its call went on; then its worker died."""
    with WorkerRig(tmp_path, redis_url, {"gpt-4": 1}, lease_s=1, renew_s=0.2) as rig:
        dying = rig.ready_worker("-Q", "gpt4", "-n", "dying@%h")
        key = running(rig, Hang())
        rig.worker("-Q", "gpt4", "-n", "heir@%h")
        eventually(
            lambda: rig.ledger.membership.live_slots() == {"gpt-4": 2}, timeout_s=40
        )
        last_change = rig.app.control.revoke(
            task_id(rig, key), **(HEARD | {"limit": 2})
        )
        assert len(last_change) == 2

        dying.kill()
        eventually(lambda: rig.ledger.expire(rig.epoch, key), message="the lease ends")
        rig.plan()
        rig.doorbells.ring([rig.doorbell(key, turn=2)])

        # The heir takes it, or drops its doorbell; it calls nobody.
        eventually(
            lambda: cancelled(rig, key) or rig.state(key) is State.ANSWERED,
            message="it is cancelled",
        )
        assert calls_of(rig, key) == 1
