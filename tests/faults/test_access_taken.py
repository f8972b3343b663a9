"""F26: Kafka takes rights away while all is running, and gives them back."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.support.kafka_cluster import PASSWORD, USER, KafkaCluster
from tests.support.model_server import ModelServer
from tests.support.pages import ready
from tests.support.system import System
from tests.support.tls import Authority
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(300)]

GUARDED = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    # The tests' own clients, and the broker itself, have no login.
    "super.users": "User:ANONYMOUS",
}
LOGIN = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanisms": "PLAIN",
    "sasl.username": USER,
    "sasl.password": PASSWORD,
}


@pytest.fixture(scope="module")
def guarded(
    kafka: KafkaCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaCluster]:
    """A broker that allows nothing to who has a login, unless it is said."""
    authority = Authority(tmp_path_factory.mktemp("ca"))
    with KafkaCluster(authority=authority, overrides=GUARDED) as cluster:
        yield cluster


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def system(
    guarded: KafkaCluster, server: ModelServer, tmp_path: Path
) -> Iterator[System]:
    servers = guarded.sasl_bootstrap.split(",")
    config = {
        "kafka": {"bootstrap_servers": servers, "properties": LOGIN},
        "timing": {"delivery_timeout_s": 3, "loss_grace_s": 8},
    }
    with System(tmp_path, guarded, server, {"m": 2}, config=config) as system:
        yield system


class Access:
    """What the user of bridges and workers may do."""

    def __init__(self, system: System) -> None:
        self._admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
        inputs = system.topics.values()
        read, write = AclOperation.READ, AclOperation.WRITE
        topic = ResourceType.TOPIC
        self.requests = [(topic, name, read) for name in inputs]
        self.group = [(ResourceType.GROUP, system.settings.kafka.group_id, read)]
        self.replies = [(topic, system.output_topic, write)]
        self.rest = [(topic, system.output_topic, read)] + [
            (topic, f"{name}.dead_letter", operation)
            for name in inputs
            for operation in (AclOperation.CREATE, read, write)
        ]

    def give(self, *rights: Iterable[tuple]) -> None:
        wanted = [self._named(AclBinding, one) for each in rights for one in each]
        for future in self._admin.create_acls(wanted).values():
            future.result()

    def take(self, rights: Iterable[tuple]) -> None:
        wanted = [self._named(AclBindingFilter, one) for one in rights]
        for future in self._admin.delete_acls(wanted).values():
            assert future.result()

    @staticmethod
    def _named(kind: type, right: tuple) -> AclBinding:
        resource, name, operation = right
        pattern, allow = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
        return kind(resource, name, pattern, f"User:{USER}", "*", operation, allow)


def is_ready(system: System, name: str) -> bool:
    return ready(system.address(name))["status"] == 200


def test_replies_that_kafka_refuses_are_kept_and_come_when_it_takes_them(
    system: System, server: ModelServer
) -> None:
    access = Access(system)
    access.give(access.requests, access.group, access.replies, access.rest)
    system.start()
    before = set(system.send("high", 5))
    system.replies.wait_for(before, 30)
    eventually(lambda: system.committed("high") == 5, timeout_s=20)
    eventually(lambda: is_ready(system, "worker-m-0"), timeout_s=20)

    access.take(access.replies)
    refused = set(system.send("high", 5))
    eventually(lambda: len(server.calls) == 10, timeout_s=30)
    eventually(lambda: system.events("worker-m-0", "reply_stored"), timeout_s=30)
    eventually(lambda: not is_ready(system, "worker-m-0"), timeout_s=30)
    assert system.committed("high") == 5
    assert set(system.replies.counts()) == before

    access.give(access.replies)
    system.replies.wait_for(refused, 120)
    eventually(lambda: system.committed("high") == 10, timeout_s=30)
    after = set(system.send("high", 5))
    system.replies.wait_for(after, 60)
    eventually(lambda: is_ready(system, "worker-m-0"), timeout_s=30)
    assert set(system.replies.counts().values()) == {1}
    assert len(server.calls) == 15
    assert all(child.alive for child in system.children.values())
    assert not [name for name, log in system.logs().items() if PASSWORD in log]


@pytest.mark.parametrize("what", ["requests", "group"])
def test_a_bridge_that_may_not_read_waits_and_reads_on(
    system: System, server: ModelServer, what: str
) -> None:
    access = Access(system)
    access.give(access.requests, access.group, access.replies, access.rest)
    system.start()
    before = set(system.send("high", 5))
    system.replies.wait_for(before, 30)
    eventually(lambda: is_ready(system, "bridge0"), timeout_s=20)

    access.take(getattr(access, what))
    eventually(lambda: not is_ready(system, "bridge0"), timeout_s=60)
    waiting = set(system.send("high", 5))
    assert system.committed("high") <= 5

    access.give(getattr(access, what))
    system.replies.wait_for(waiting, 120)
    eventually(lambda: is_ready(system, "bridge0"), timeout_s=60)
    eventually(lambda: system.committed("high") == 10, timeout_s=30)
    assert set(system.replies.counts().values()) == {1}
    assert len(server.calls) == 10
    assert all(child.alive for child in system.children.values())


@pytest.mark.parametrize("what", ["requests", "group"])
def test_a_bridge_that_may_not_read_at_its_start_says_so_without_a_secret(
    system: System, what: str
) -> None:
    access = Access(system)
    rights = {"requests": access.requests, "group": access.group}
    access.give(
        access.replies, access.rest, *(v for k, v in rights.items() if k != what)
    )
    bridge = system.bridge("bridge0")
    word = {
        "requests": "Topic authorization failed",
        "group": "Group authorization failed",
    }
    eventually(lambda: word[what] in system.log("bridge0"), timeout_s=40)
    eventually(
        lambda: not bridge.alive or not is_ready(system, "bridge0"), timeout_s=40
    )
    assert PASSWORD not in system.log("bridge0")
