"""F26: Kafka's certificate runs out while all is running, and a new one is put there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kafka_cluster import PASSWORD, USER, KafkaCluster
from tests.support.model_server import Hold, ModelServer
from tests.support.pages import ready
from tests.support.system import System
from tests.support.tls import Authority
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(300)]

NAMES = ("bridge0", "worker-m-0")
EXPIRED = "shows a bad certificate: certificate has expired"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def secured(kafka: KafkaCluster, authority: Authority) -> Iterator[KafkaCluster]:
    """A node of its own, as it is restarted."""
    with KafkaCluster(authority=authority) as cluster:
        yield cluster


def test_a_certificate_that_runs_out_is_named_and_all_goes_on_with_the_next(
    tmp_path: Path, secured: KafkaCluster, authority: Authority
) -> None:
    kafka = {
        "bootstrap_servers": secured.tls_bootstrap.split(","),
        "properties": {
            "security.protocol": "SASL_SSL",
            "sasl.mechanisms": "PLAIN",
            "sasl.username": USER,
            "sasl.password": PASSWORD,
            "ssl.ca.location": str(authority.ca),
        },
    }
    config = {"kafka": kafka, "timing": {"delivery_timeout_s": 3}}
    refused: list[bool] = []
    with (
        ModelServer() as server,
        System(tmp_path, secured, server, {"m": 2}, config=config) as system,
    ):

        def are_ready() -> list[bool]:
            return [ready(system.address(name))["status"] == 200 for name in NAMES]

        def checks() -> list[str]:
            return [str(ready(system.address(name))["checks"]) for name in NAMES]

        system.start()
        before = set(system.send("high", 5))
        system.replies.wait_for(before, 30)
        eventually(lambda: system.committed("high") == 5, timeout_s=20)
        eventually(lambda: all(are_ready()), timeout_s=20)

        server.then("m", Hold(lambda: bool(refused)))
        running = set(system.send("high", 1))
        eventually(lambda: server.in_flight() == 1, timeout_s=20)
        authority.show_expired()
        secured.restart_node(0)
        eventually(lambda: all(EXPIRED in each for each in checks()), timeout_s=60)
        assert not any(are_ready())
        refused.append(True)
        eventually(lambda: system.events("worker-m-0", "reply_stored"), timeout_s=30)
        waiting = set(system.send("high", 5))
        assert system.committed("high") == 5
        assert set(system.replies.counts()) == before
        for name in NAMES:
            assert EXPIRED in system.log(name)

        authority.show_valid()
        secured.restart_node(0)
        system.replies.wait_for(running | waiting, 120)
        eventually(lambda: all(are_ready()), timeout_s=60)
        eventually(lambda: system.committed("high") == 11, timeout_s=30)
        assert set(system.replies.counts().values()) == {1}
        assert len(server.calls) == 11
        assert all(child.alive for child in system.children.values())
        for name in NAMES:
            assert PASSWORD not in system.log(name)
