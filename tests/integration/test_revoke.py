"""`celery revoke` on the whole system: one CANCELLED reply, whatever rang."""

import pytest
from celery import Celery

from agentsched.celery.settings import celery_settings
from agentsched.ledger.values import State
from agentsched.wire.codec import Identity
from agentsched.wire.doorbell import task_ids
from tests.support.model_server import Hang, ModelServer
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]


class Operator:
    """What somebody with `celery -A agentsched` can see and do."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._epoch = system.ledger.membership.beat().pulse.epoch
        self.app = Celery("operator", set_as_current=False)
        self.app.conf.update(celery_settings(system.settings))

    def key(self, request: str) -> str:
        return Identity("default", request).key

    def task_id(self, request: str, turn: int = 1) -> str:
        return next(task_ids(self.key(request), self._epoch, turn))

    def view(self, request: str):
        return self._system.ledger.inspect(self._epoch, [self.key(request)])[0]

    def wait_until_ready(self, request: str) -> None:
        def reached() -> bool:
            view = self.view(request)
            return view is not None and view.state is State.READY

        eventually(reached, timeout_s=30, message="admitted, and no slot is free")

    def wait_until_answered(self, request: str) -> None:
        def reached() -> bool:
            view = self.view(request)
            return view is not None and view.state is State.ANSWERED

        eventually(reached, timeout_s=30, message="answered")


def test_a_revoked_request_has_one_reply_and_is_never_run(tmp_path, kafka):
    """One pool of one slot serves both models: what is for `b` waits."""
    with (
        ModelServer() as server,
        System(tmp_path, kafka, server, {"a": 1, "b": 1}) as system,
    ):
        system.bridge("bridge")
        # Every worker hears of a revoke; one reply all the same.
        system.worker("a,b", "worker", "-c", "1")
        system.wait_for_slots({"a": 1, "b": 1})
        operator = Operator(system)
        server.then("a", Hang(), Hang())
        (running,) = system.send("high", 1, model_id="a")
        eventually(lambda: server.in_flight() == 1, timeout_s=20)

        # It waits for the only slot.
        (waiting,) = system.send("high", 1, model_id="b")
        operator.wait_until_ready(waiting)
        operator.app.control.revoke(operator.task_id(waiting))
        reply = system.replies.wait_for({waiting}, 20)[waiting]
        assert (reply["error"]["code"], reply["id"]) == ("CANCELLED", waiting)
        operator.wait_until_answered(waiting)

        # What runs is aborted with terminate; another worker is there to hear it.
        system.worker("b", "other")
        system.wait_for_slots({"a": 1, "b": 2})
        operator.app.control.revoke(operator.task_id(running), terminate=True)
        reply = system.replies.wait_for({running}, 20)[running]
        assert reply["error"]["code"] == "CANCELLED"
        eventually(lambda: server.in_flight() == 0, message="the call is closed")

        # The slots are free: the next ones are answered, and nothing came twice.
        (hanging,) = system.send("high", 1, model_id="a")
        eventually(lambda: server.in_flight() == 1, timeout_s=20)
        after = set(system.send("high", 5, model_id="b"))
        system.replies.wait_for(after, 30)
        operator.app.control.terminate(operator.task_id(hanging))
        system.replies.wait_for({hanging}, 20)
        assert set(system.replies.counts().values()) == {1}
        assert {call.prompt for call in server.calls} == {running, hanging, *after}
