"""Redis is killed under load and comes back with its file; work goes on by itself."""

import signal

import pytest

from agentsched.embedded.valkey import EmbeddedValkey
from tests.support.model_server import ModelServer
from tests.support.system import System
from tests.support.waiting import eventually, promised

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

BACK_AT_WORK_S = 20
CAPACITY = 4


@pytest.mark.timed
def test_a_killed_redis_comes_back_and_nobody_else_has_to_be_started(tmp_path, kafka):
    with (
        ModelServer(delay_s=0.2) as server,
        System(tmp_path, kafka, server, {"m": CAPACITY}) as system,
    ):
        system.start()
        sent = set(system.send("low", 150))
        eventually(lambda: len(server.calls) > 20, timeout_s=30)
        pids = {name: child.pid for name, child in system.children.items()}

        system.valkey.child.signal(signal.SIGKILL)
        system.valkey.stop()
        sent |= set(system.send("high", 10))
        eventually(lambda: system.events("bridge0", "redis_unreachable"), timeout_s=20)
        seen = len(system.replies.counts())
        with EmbeddedValkey(
            tmp_path / "valkey", tmp_path / "again.log", system.valkey.port
        ):
            with promised(BACK_AT_WORK_S):
                eventually(lambda: len(system.replies.counts()) > seen, timeout_s=30)
            replies = system.replies.wait_for(sent, 90)

            assert {reply["status"] for reply in replies.values()} == {"completed"}
            assert system.replies.counts().keys() == sent
            # What ran then may run once more, and what was just sent be sent again.
            doubled = len(system.replies.all()) - len(sent)
            assert doubled <= 2 * CAPACITY
            assert pids == {n: c.pid for n, c in system.children.items() if c.alive}
