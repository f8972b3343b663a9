"""Kafka that wants a login, with and without TLS: every client of ours brings it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentsched.client.client import AgentClient
from agentsched.config.loader import parse_settings
from tests.support.kafka_cluster import PASSWORD, USER, KafkaCluster
from tests.support.model_server import ModelServer
from tests.support.system import System
from tests.support.tls import Authority
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

LOGIN = {
    "sasl.mechanisms": "PLAIN",
    "sasl.username": USER,
    "sasl.password": PASSWORD,
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def secured(kafka: KafkaCluster, authority: Authority) -> Iterator[KafkaCluster]:
    """A node of its own: `kafka` is asked for first, since it says when there is none."""
    with KafkaCluster(authority=authority) as cluster:
        yield cluster


def section(secured: KafkaCluster, authority: Authority, protocol: str) -> dict:
    if protocol == "SASL_PLAINTEXT":
        servers, more = secured.sasl_bootstrap, {}
    else:
        servers, more = secured.tls_bootstrap, {"ssl.ca.location": str(authority.ca)}
    return {
        "bootstrap_servers": servers.split(","),
        "properties": {"security.protocol": protocol} | LOGIN | more,
    }


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_the_whole_system_works_with_a_login(
    secured: KafkaCluster, authority: Authority, tmp_path: Path, protocol: str
) -> None:
    config = {"kafka": section(secured, authority, protocol)}
    with (
        ModelServer() as server,
        System(tmp_path, secured, server, {"gpt4": 2}, config=config) as system,
    ):
        system.start()
        # A record that is no request needs the dead-letter topic, which the bridge made.
        bad = system.producer.produce(b"no JSON", system.topics["low"]).result(10)
        ids = system.send("high", 3)
        replies = system.replies.wait_for(set(ids), 30)
        assert {reply["status"] for reply in replies.values()} == {"completed"}

        with AgentClient.of(system.settings, agent_id="a") as client:
            assert client.request("Hello?", timeout_s=20).status == "completed"

        status = system.agentsched("status", "--json")
        assert status.returncode == 0, status.stderr
        cancel = system.agentsched("cancel", "nobody-knows-this")
        assert cancel.returncode == 0, cancel.stderr
        assert bad.offset == 0
        for name, text in system.logs().items():
            assert PASSWORD not in text, name


def test_a_wrong_password_stops_the_bridge_with_a_sentence(
    secured: KafkaCluster, authority: Authority, tmp_path: Path
) -> None:
    kafka = section(secured, authority, "SASL_PLAINTEXT")
    kafka["properties"] |= {"sasl.password": "wr0ng"}
    with (
        ModelServer() as server,
        System(tmp_path, secured, server, {"gpt4": 2}, config={"kafka": kafka}) as sys,
    ):
        bridge = sys.bridge("bridge")
        eventually(lambda: not bridge.alive, timeout_s=40, message="it ends")
        said = sys.log("bridge")
    assert "Authentication failed" in said
    assert "kafka.properties" in said
    assert "Traceback" not in said
    assert "wr0ng" not in said


def test_the_password_may_come_from_a_variable() -> None:
    environ = {"AGENTSCHED__KAFKA__PROPERTIES__SASL_PASSWORD": PASSWORD}
    text = "kafka: {properties: {sasl.username: bridge}}"
    properties = parse_settings(text, environ=environ).settings.kafka.properties
    assert properties["sasl.password"] == PASSWORD
