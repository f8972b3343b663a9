"""F10: Sentinel promotes a replica that lacks the last seconds."""

import pytest

from tests.support.model_server import ModelServer
from tests.support.redis_servers import Sentinels
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

PASSWORD, SENTINEL_PASSWORD = "hunter2", "hunter3"
CAPACITY, CALL_S = 4, 0.2


def cut_off(replica):
    """The replica hears no more of its primary; Sentinels still take it."""
    with replica.client() as client:
        client.config_set("primaryauth", "wrong")
        client.execute_command("CLIENT", "KILL", "TYPE", "primary")
        eventually(
            lambda: client.info("replication")["master_link_status"] == "down",
            message="the replica is cut off",
        )


def test_a_failover_that_loses_the_last_seconds_loses_no_request(tmp_path, kafka):
    with (
        ModelServer(delay_s=CALL_S) as server,
        Sentinels(tmp_path / "sentinels", PASSWORD, SENTINEL_PASSWORD) as servers,
    ):
        first, second = (each.port for each in servers.sentinels)
        section = {
            "url": f"sentinel://:{PASSWORD}@127.0.0.1:{first}/0;"
            f"sentinel://127.0.0.1:{second}",
            "sentinel_master": servers.name,
            "sentinel_password": SENTINEL_PASSWORD,
        }
        config = {"redis": section}
        with System(tmp_path, kafka, server, {"m": CAPACITY}, config=config) as system:
            system.start()
            sent = set(system.send("medium", 160))
            eventually(lambda: len(system.replies.counts()) > 8, timeout_s=30)
            cut_off(servers.replica)
            seen = len(system.replies.counts())
            # A second of work and more that the replica will not know.
            eventually(lambda: len(system.replies.counts()) > seen + 30, timeout_s=30)
            servers.fail_over()
            later = set(system.send("high", 5))

            replies = system.replies.wait_for(sent | later, 120)
            assert {reply["status"] for reply in replies.values()} == {"completed"}
            assert "epoch_changed" in system.log("bridge0")
            counts = system.replies.counts()
            # What was in flight may have been called again; clients see the first.
            doubled = sum(count - 1 for count in counts.values())
            assert doubled <= 2 * CAPACITY
            eventually(lambda: system.committed("medium") == 160, timeout_s=30)
            logs = "".join(system.logs().values())
            assert PASSWORD not in logs
            assert SENTINEL_PASSWORD not in logs
