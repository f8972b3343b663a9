"""SIGHUP on the real system: what it changes, what it does not, and what it says."""

import signal

import pytest
import yaml

from tests.support.model_server import ModelServer
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

MISSING = "nobody-made-this-topic-either"


@pytest.fixture(scope="module")
def system(tmp_path_factory, kafka):
    root = tmp_path_factory.mktemp("reload")
    with ModelServer() as server, System(root, kafka, server, {"m": 2}) as system:
        system.start()
        yield system


def hang_up(system, change=None, *, text=None, event="configuration_reloaded"):
    """Write the configuration, signal the bridge, wait for what it says."""
    file = system.root / "agentsched.yaml"
    before = file.read_text()
    count = len(system.events("bridge0", event))
    data = yaml.safe_load(before)
    for section, keys in (change or {}).items():
        data[section] = data.get(section, {}) | keys
    file.write_text(yaml.safe_dump(data) if text is None else text)
    system.children["bridge0"].signal(signal.SIGHUP)
    try:
        eventually(lambda: len(system.events("bridge0", event)) > count, timeout_s=20)
    finally:
        file.write_text(before)
    return system.events("bridge0", event)[-1]


def test_a_reply_topic_that_is_allowed_and_missing_holds_no_offset(system):
    hang_up(system, {"kafka": {"reply_topics": [MISSING]}})
    sent = {
        *system.send("high", 1, reply_topic=MISSING),  # answered by a worker
        *system.send("high", 1, reply_topic=MISSING, model_id="no-such-model"),
    }
    replies = system.replies.wait_for(sent, 60)
    assert {reply["status"] for reply in replies.values()} == {"completed", "failed"}
    end = system.kafka.end(system.topics["high"])
    eventually(lambda: system.committed("high") == end, timeout_s=30)


def test_what_needs_a_restart_is_named_and_the_rest_counts(system):
    change = {
        "kafka": {"bootstrap_servers": ["127.0.0.1:1"], "input_topics": ["other"]},
        "redis": {"url": "redis://u:hunter2@127.0.0.1:1/0"},
        "connection_pool": {"timeout": 7},
        "limits": {"ttl_max_s": 1},
    }
    hang_up(system, change)
    said = system.events("bridge0", "configuration_needs_restart")[-2:]
    keys = {one["restart"]: one["keys"] for one in said}
    assert keys == {
        "bridges": ["kafka.bootstrap_servers", "kafka.input_topics", "redis.url"],
        "workers": ["kafka.bootstrap_servers", "redis.url", "connection_pool.timeout"],
    }
    assert '["127.0.0.1:1"]' in said[0]["detail"]
    assert "hunter2" not in system.log("bridge0")
    # It still reads the old topics, and the limit is the new one.
    (sent,) = system.send("high", 1, model_id="m", ttl_s=60, content="late")
    assert system.replies.wait_for({sent}, 30)[sent]["status"] == "completed"
    hang_up(system)


def test_a_wrong_file_changes_nothing_and_is_said(system):
    said = hang_up(system, text="limits: {ttl_s: -1}\n", event="configuration_kept")
    assert said["level"] == "error"
    assert "limits.ttl_s: must be a number above 0" in said["detail"]
    (sent,) = system.send("high", 1)
    assert system.replies.wait_for({sent}, 30)[sent]["status"] == "completed"
