"""What is wrong with Kafka's certificate is said, by all who ask whether Kafka is there."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.admin.client import Asking
from agentsched.kafka.admin.end_offsets import EndOffsets
from agentsched.kafka.certificate import certificate_fault
from agentsched.kafka.errors import KafkaFailed
from agentsched.kafka.producer import Producer
from tests.support.tls import Authority, TlsFront


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@contextlib.contextmanager
def listener(authority: Authority) -> Iterator[str]:
    """A server that shows the certificate, and says nothing."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        TlsFront(authority, silent.getsockname()[1]) as front,
    ):
        yield f"127.0.0.1:{front.port}"


def properties(server: str, ca: Path, protocol: str = "SSL") -> dict[str, object]:
    return {
        "bootstrap.servers": server,
        "security.protocol": protocol,
        "ssl.ca.location": str(ca),
    }


def test_a_good_certificate_has_no_fault(authority: Authority) -> None:
    with listener(authority) as server:
        assert certificate_fault(properties(server, authority.ca)) == ""


def test_an_expired_certificate_is_named(authority: Authority) -> None:
    authority.show_expired()
    with listener(authority) as server:
        fault = certificate_fault(properties(f"ssl://{server}", authority.ca))
    assert fault == f"ssl://{server} shows a bad certificate: certificate has expired"


def test_the_certificate_of_another_host_is_named_unless_the_name_is_not_asked_for(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path / "other", host="example.org")
    with listener(authority) as server:
        asked = properties(server, authority.ca)
        assert "127.0.0.1" in certificate_fault(asked).partition(": ")[2]
        asked["ssl.endpoint.identification.algorithm"] = "none"
        assert certificate_fault(asked) == ""


def test_the_certificate_of_another_authority_is_named(
    authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    with listener(authority) as server:
        fault = certificate_fault(properties(server, other.ca, "sasl_ssl"))
    assert "certificate" in fault


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_without_tls_nobody_is_asked(authority: Authority, protocol: str) -> None:
    authority.show_expired()
    with listener(authority) as server:
        assert certificate_fault(properties(server, authority.ca, protocol)) == ""


def test_nothing_is_said_where_nobody_listens_or_our_own_file_is_missing(
    authority: Authority, tmp_path: Path
) -> None:
    assert certificate_fault(properties("127.0.0.1:1", authority.ca)) == ""
    assert certificate_fault(properties("127.0.0.1:1", tmp_path / "no.pem")) == ""


def test_all_who_ask_for_kafka_are_told(authority: Authority) -> None:
    authority.show_expired()
    with listener(authority) as server:
        more = {"security.protocol": "SSL", "ssl.ca.location": str(authority.ca)}
        settings = KafkaSettings(bootstrap_servers=(server,), properties=more)
        ends = EndOffsets(settings)
        with pytest.raises(KafkaFailed, match="certificate has expired"):
            ends.ask((), 1.0)
        ends.close()
        producer = Producer(server, properties=more)
        with pytest.raises(KafkaFailed, match="certificate has expired"):
            producer.reach("t", 1.0)
        producer.close()
        asking = Asking(settings)
        with pytest.raises(KafkaException) as refused:
            asking.client.list_topics(timeout=2)
        assert "certificate has expired" in str(asking.failed(refused.value))
