"""The commands and the access list of docs/how-to/your-kafka.md and your-redis.md."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from agentsched.client.client import AgentClient
from agentsched.config.loader import parse_settings
from agentsched.embedded.valkey import EmbeddedValkey
from tests.support import guides
from tests.support.command import run_agentsched
from tests.support.kafka_cluster import PASSWORD, KafkaCluster
from tests.support.model_server import ModelServer
from tests.support.redis_servers import Valkey
from tests.support.system import System
from tests.support.tls import Authority
from tests.support.waiting import eventually

KAFKA = "docs/how-to/your-kafka.md"
REDIS = "docs/how-to/your-redis.md"
OK = (b"OK", True)


def commands(page: str) -> list[list[str]]:
    """Every command of a page, as words."""
    return [guides.words(command) for command in guides.commands(page)]


def variables(page: str) -> dict[str, str]:
    """What the page exports."""
    pairs = [words[1].split("=", 1) for words in commands(page) if words[0] == "export"]
    return dict(pairs)


def test_the_commands_of_the_redis_page_work(tmp_path: Path) -> None:
    run = [words for words in commands(REDIS) if words[0] != "export"]
    assert {words[0] for words in run} == {"agentsched", "redis-cli"}
    (tmp_path / "agentsched.yaml").write_text("models: [{name: m}]\n")
    with Valkey(tmp_path / "valkey", password=PASSWORD) as server:
        for words in (words for words in run if words[0] == "redis-cli"):
            with server.client() as client:
                answer = client.execute_command(*words[1:])
            # Nothing was refused here; test_redis_access.py has more.
            assert answer == [] if words[1:3] == ["ACL", "LOG"] else answer in OK
        url = f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0"
        assert set(variables(REDIS)) == {"REDIS_URL"}
        shown = run_agentsched(
            tmp_path, "config", "show", "redis", secrets={"REDIS_URL": url}
        )
        assert shown.returncode == 0
        assert "redis://:***@127.0.0.1" in shown.stdout
        doctor = run_agentsched(
            tmp_path, "doctor", "--json", secrets={"REDIS_URL": url}
        )
        assert PASSWORD not in doctor.stdout + doctor.stderr
        findings = json.loads(doctor.stdout)["findings"]
        levels = [each["level"] for each in findings if each["what"] == "redis"]
        assert set(levels) == {"ok"}
        assert len(levels) >= 3


@pytest.fixture(scope="module")
def guarded(
    kafka: KafkaCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaCluster]:
    """A broker that allows nothing to who has a login, unless it is said."""
    authority = Authority(tmp_path_factory.mktemp("ca"))
    overrides = {
        "authorizer.class.name": (
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
        ),
        # The tests' own clients, and the broker itself, have no login.
        "super.users": "User:ANONYMOUS",
    }
    with KafkaCluster(authority=authority, overrides=overrides) as cluster:
        yield cluster


def access_list(system: System) -> list[AclBinding]:
    """The table of the page, for the topics of a system."""
    kafka = system.settings.kafka
    inputs = list(kafka.input_topics)
    names = {
        "input topics": inputs,
        "output topic": [kafka.output_topic],
        "output topic and reply topics": [kafka.output_topic, *kafka.reply_topics],
        "dead-letter topics": [f"{topic}.dead_letter" for topic in inputs],
        "`kafka.group_id`": [kafka.group_id],
    }
    rows = re.findall(
        r"^\| (bridge|agent) \| (.*) \| (.*) \| (.*) \|$",
        (guides.ROOT / KAFKA).read_text("utf-8"),
        re.MULTILINE,
    )
    assert len(rows) == 6
    return [
        AclBinding(
            ResourceType[kind.upper()],
            name,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation[operation.upper()],
            AclPermissionType.ALLOW,
        )
        for user, kind, what, operations in rows
        for name in names[what]
        for operation in operations.split(", ")
    ]


def login(user: str) -> dict[str, str]:
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": user,
        "sasl.password": PASSWORD,
    }


@pytest.mark.kafka
@pytest.mark.timeout(150)
def test_the_access_list_of_the_kafka_page_is_enough(
    guarded: KafkaCluster, tmp_path: Path
) -> None:
    servers = guarded.sasl_bootstrap.split(",")
    config = {
        "kafka": {"bootstrap_servers": servers, "properties": login("bridge")},
        "limits": {"horizon_s": 60},
    }
    with (
        ModelServer() as server,
        System(tmp_path, guarded, server, {"gpt4": 2}, config=config) as system,
    ):
        admin = AdminClient({"bootstrap.servers": guarded.bootstrap})
        for future in admin.create_acls(access_list(system)).values():
            future.result()
        system.start()
        system.producer.produce(b"no JSON", system.topics["low"]).result(10)
        ids = system.send("high", 3)
        replies = system.replies.wait_for(set(ids), 30)
        assert {reply["status"] for reply in replies.values()} == {"completed"}
        letters = f"{system.topics['low']}.dead_letter"
        eventually(lambda: _end(guarded, letters) == 1, message="a dead letter")

        # The same record once more: its reply is read back from Kafka.
        again = system.producer.produce(
            {"id": ids[0], "correlation_id": ids[0], "content": ids[0]},
            system.topics["high"],
            {"correlation_id": ids[0]},
        )
        again.result(10)
        eventually(
            lambda: system.replies.counts()[ids[0]] == 2,
            timeout_s=20,
            message="the reply comes again",
        )
        agent = parse_settings(
            (tmp_path / "agentsched.yaml").read_text(),
            environ={"AGENTSCHED__KAFKA__PROPERTIES__SASL_USERNAME": "agent"},
        ).settings
        with AgentClient.of(agent, agent_id="a") as client:
            assert client.request("Hello?", timeout_s=20).status == "completed"
        assert "AUTHORIZATION" not in "".join(system.logs().values()).upper()


@pytest.mark.kafka
@pytest.mark.timeout(90)
def test_the_commands_of_the_kafka_page_work(
    kafka: KafkaCluster, topic_prefix: str, tmp_path: Path
) -> None:
    run = [words for words in commands(KAFKA) if words[0] != "export"]
    # What the tool of Kafka does is done by test_new_group.py with an admin client.
    run = [words for words in run if words[0] != "kafka-consumer-groups.sh"]
    assert {words[0] for words in run} == {"agentsched"}
    (name,) = variables(KAFKA)
    topics = [f"{topic_prefix}{cls}_priority" for cls in ("high", "medium", "low")]
    secrets = {
        name: PASSWORD,
        "BOOTSTRAP_SERVERS": kafka.bootstrap,
        "INPUT_TOPICS": ",".join(topics),
        "OUTPUT_TOPIC": f"{topic_prefix}results",
    }
    (tmp_path / "agentsched.yaml").write_text("models: [{name: m}]\n")
    with EmbeddedValkey(tmp_path / "valkey", tmp_path / "valkey.log") as valkey:
        secrets["REDIS_URL"] = valkey.url
        for words in run:
            done = run_agentsched(tmp_path, *words[1:], secrets=secrets)
            # The doctor finds that nothing runs here; it is not wrong usage.
            allowed = {0, 1} if words[1] == "doctor" else {0}
            assert done.returncode in allowed, (words, done.stdout, done.stderr)
        listed = run_agentsched(tmp_path, "topics", "list", secrets=secrets)
    assert topics[0] in listed.stdout


def _end(cluster: KafkaCluster, topic: str) -> int:
    from confluent_kafka import Consumer, TopicPartition  # noqa: PLC0415

    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "end"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=5)[1]
    finally:
        consumer.close()
