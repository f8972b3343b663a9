"""A bridge and a worker beside a newer version: they say so, and lose nothing."""

import pytest

from tests.support.model_server import ModelServer
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

PATIENCE_S = 40


def test_who_is_too_old_says_so_ends_and_loses_nothing(tmp_path, kafka):
    with (
        ModelServer() as server,
        System(tmp_path, kafka, server, {"m": 2}) as system,
    ):
        system.start()
        redis = system.ledger._client
        name = system.settings.namespace

        # An order of a newer version: nothing starts, and an operator may lift it.
        redis.hset(f"{name}:controls", "throttle m", '0 {"version":3}')
        eventually(
            lambda: system.events("bridge0", "control_unread"), timeout_s=PATIENCE_S
        )
        held = system.send("high", 1)
        shown = system.agentsched("status", "--json").stdout
        assert "an unknown order of version 3" in shown
        assert len(server.calls) == 0
        lifted = system.agentsched("resume", "--all")
        assert "resumed" in lifted.stdout
        system.replies.wait_for(set(held), PATIENCE_S)

        # A newer ledger: both end by themselves.
        ours = redis.hget(f"{name}:epoch", "format")
        redis.hset(f"{name}:epoch", "format", 1_000)
        sent = system.send("high", 3)
        for one in tuple(system.children):
            child = system.children[one]
            eventually(lambda child=child: not child.alive, timeout_s=PATIENCE_S)
            assert system.stop(one) == 1
            (said,) = system.events(one, "process_too_old")
            assert "ledger of version 1000" in said["detail"]
            assert "upgrade this process" in said["detail"]
        again = system.agentsched("status")
        assert again.returncode == 1
        assert "upgrade this process" in again.stderr

        # And at a start.
        refused = system.bridge("bridge-too-old")
        eventually(lambda: not refused.alive, timeout_s=PATIENCE_S)
        assert system.stop("bridge-too-old") == 1
        assert "bridge: " in system.log("bridge-too-old")

        redis.hset(f"{name}:epoch", "format", ours)
        system.bridge("bridge1")
        system.worker("m", "worker1")
        replies = system.replies.wait_for(set(sent), PATIENCE_S)
        assert {reply["status"] for reply in replies.values()} == {"completed"}
        assert len(server.calls) == len(held) + len(sent)
