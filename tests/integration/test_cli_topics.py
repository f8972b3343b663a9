"""`agentsched topics`: makes what is missing, and says what is not as it should be."""

import json

import pytest
import yaml
from confluent_kafka.admin import AdminClient

from agentsched.config.loader import parse_settings
from agentsched.config.settings import KafkaSettings
from agentsched.embedded.kafka import EmbeddedKafka
from agentsched.kafka.admin.topic_inspection import inspect_topics
from agentsched.kafka.producer import Producer
from tests.support.command import run_agentsched
from tests.support.waiting import eventually


@pytest.fixture
def folder(tmp_path, kafka, topic_prefix):
    """A configuration whose topics nobody has made yet."""
    return configured(tmp_path, kafka.bootstrap, topic_prefix)


def configured(folder, bootstrap, prefix=""):
    text = yaml.safe_dump(
        {
            "kafka": {
                "bootstrap_servers": [bootstrap],
                "input_topics": [f"{prefix}high_priority", f"{prefix}low_priority"],
                "output_topic": f"{prefix}results",
            }
        }
    )
    (folder / "agentsched.yaml").write_text(text)
    return folder


def topics(folder, *arguments):
    return run_agentsched(folder, "topics", *arguments)


def listed(folder):
    done = topics(folder, "list", "--json")
    rows = json.loads(done.stdout)["topics"]
    return done.returncode, {row["name"].split(".", 1)[1]: row for row in rows}


def all_there(kafka, folder):
    """New topics are in the metadata a moment after they were made."""
    names = parse_settings((folder / "agentsched.yaml").read_text()).settings.kafka
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    wanted = {*names.input_topics, names.output_topic}
    eventually(lambda: wanted <= set(admin.list_topics(timeout=5).topics))


@pytest.mark.kafka
def test_topics_that_are_missing_are_listed_made_once_and_then_fine(folder, kafka):
    code, before = listed(folder)
    assert code == 1
    assert not any(row["is_there"] for row in before.values())

    first = topics(folder, "create", "--partitions", "3", "--retention", "2d")
    assert first.returncode == 0, first.stderr
    assert first.stdout.count(": created") == 5
    all_there(kafka, folder)
    again = topics(folder, "create")
    assert (again.returncode, again.stdout.count("is there already")) == (0, 5)

    code, after = listed(folder)
    assert code == 0
    assert after["low_priority"]["partitions"] == after["results"]["partitions"] == 3
    assert after["low_priority.dead_letter"]["partitions"] == 1
    for row in after.values():
        assert row["replication"] == 1  # there is one broker
        assert row["retention_ms"] == 2 * 86_400_000
        assert row["config"]["message.timestamp.type"] == "LogAppendTime"
        assert row["config"]["cleanup.policy"] == "delete"


@pytest.mark.kafka
def test_a_topic_that_may_lose_requests_is_a_problem(folder, kafka, topic_prefix):
    bad = {"cleanup.policy": "compact", "retention.ms": "60000"}
    kafka.create_topics({f"{topic_prefix}high_priority": 2}, bad)
    assert topics(folder, "create").returncode == 0
    all_there(kafka, folder)
    with Producer(kafka.bootstrap) as producer:
        for number in range(3):
            key = f"{number}"
            producer.produce("{}", f"{topic_prefix}high_priority", key=key).result(20)
    code, rows = listed(folder)
    faults = rows["high_priority"]["faults"]
    assert (code, len(faults)) == (1, 2)
    assert "compact" in faults[0]
    assert (rows["high_priority"]["records"], rows["high_priority"]["partitions"]) == (
        3,
        2,
    )
    table = topics(folder, "list").stdout
    assert "cleanup.policy compact" in table
    assert "agentsched doctor" in table
    assert "60 s" in table


@pytest.mark.kafka
def test_a_retention_within_the_longest_time_to_live_is_refused(folder):
    done = topics(folder, "create", "--retention", "24h")
    assert done.returncode == 2
    assert "longer than limits.ttl_max_s" in done.stderr


def test_the_embedded_broker_is_shown_as_far_as_it_tells(tmp_path):
    names = ("high_priority", "low_priority", "results")
    with EmbeddedKafka(dict.fromkeys(names, 2), tmp_path / "kafka.log") as mock:
        configured(tmp_path, mock.bootstrap)
        shown = topics(tmp_path, "list")
        refused = topics(tmp_path, "create")
    assert shown.returncode == 1  # the dead letters are missing
    assert "not known" in shown.stdout
    assert refused.returncode == 1
    assert "creates no topics on request" in refused.stderr


def test_an_inspection_counts_brokers_replicas_and_records(broker, topic_prefix):
    name = f"{topic_prefix}a"
    broker.create_topics({name: 3})
    with Producer(broker.bootstrap) as producer:
        for number in range(5):
            producer.produce(f"{number}", name, key=f"{number}").result(20)
    settings = KafkaSettings(bootstrap_servers=(broker.bootstrap,))
    found = inspect_topics(settings, [name, f"{topic_prefix}none"])
    state = found.topics[name]
    assert (found.brokers, found.topics[f"{topic_prefix}none"]) == (1, None)
    assert (state.partitions, state.replication, state.in_sync) == (3, 1, 1)
    assert (state.records, state.without_leader) == (5, ())
    assert (state.config is None) == (broker.kind == "embedded")
