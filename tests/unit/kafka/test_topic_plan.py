"""Which topics there should be, and what is wrong with those that are there."""

from dataclasses import replace

import pytest

from agentsched.config.settings import Settings
from agentsched.kafka.topic_plan import (
    Role,
    TopicState,
    planned_config,
    planned_topics,
    shortcomings,
)

SETTINGS = Settings.model_validate(
    {
        "kafka": {
            "input_topics": ["a", "b"],
            "output_topic": "out",
            "reply_topics": ["other"],
        }
    }
)
WEEK_S = 604_800
CONFIG = planned_config(3, WEEK_S) | {"max.message.bytes": "1114112"}
GOOD = TopicState("a", 6, 3, 3, records=7, config=CONFIG)


def faults(state, role=Role.INPUT):
    return [one.text for one in shortcomings(state, role, SETTINGS) if one.is_fault]


def advice(state):
    found = shortcomings(state, Role.INPUT, SETTINGS)
    return [one.text for one in found if not one.is_fault]


def with_config(**changes):
    keys = {name.replace("_", "."): value for name, value in changes.items()}
    return replace(GOOD, config=CONFIG | keys)


def test_an_installation_needs_its_inputs_their_dead_letters_and_the_replies():
    assert planned_topics(SETTINGS) == {
        "a": Role.INPUT,
        "b": Role.INPUT,
        "out": Role.REPLY,
        "other": Role.REPLY,
        "a.dead_letter": Role.DEAD_LETTER,
        "b.dead_letter": Role.DEAD_LETTER,
    }


def test_a_topic_as_we_plan_it_lacks_nothing():
    assert shortcomings(GOOD, Role.INPUT, SETTINGS) == []


def test_a_missing_topic_says_how_to_make_it():
    assert "agentsched topics create" in faults(None)[0]


def test_a_partition_without_leader_is_a_fault():
    assert "partition 2, 5" in faults(replace(GOOD, without_leader=(2, 5)))[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cleanup_policy": "compact,delete"}, "compact"),
        ({"retention_ms": "86400000"}, "not longer than limits.ttl_max_s"),
        ({"unclean_leader_election_enable": "true"}, "unclean"),
        ({"max_message_bytes": "1000"}, "limits.request_max_bytes"),
    ],
)
def test_what_may_lose_a_request_is_a_fault(changes, said):
    (text,) = faults(with_config(**changes))
    assert said in text


@pytest.mark.parametrize("retention_ms", ["-1", "86400001"])
def test_a_retention_longer_than_the_longest_time_to_live_is_fine(retention_ms):
    assert faults(with_config(retention_ms=retention_ms)) == []


def test_the_size_of_replies_is_their_own_limit():
    state = with_config(max_message_bytes="1000")
    assert "limits.reply_max_bytes" in faults(state, Role.REPLY)[0]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (replace(GOOD, in_sync=2), "only 2 of 3 replicas"),
        (replace(GOOD, replication=1, in_sync=1), "replication 1"),
        (with_config(min_insync_replicas="1"), "min.insync.replicas 1"),
        (with_config(message_timestamp_type="CreateTime"), "not LogAppendTime"),
    ],
)
def test_what_is_only_less_safe_is_advice(state, said):
    assert faults(state) == []
    assert any(said in text for text in advice(state))


def test_a_broker_that_does_not_tell_its_configuration_is_not_blamed_for_it():
    state = replace(GOOD, config=None)
    assert shortcomings(state, Role.INPUT, SETTINGS) == []
    assert state.retention_ms is None


def test_two_of_three_replicas_must_have_what_is_acknowledged():
    assert planned_config(3, 10)["min.insync.replicas"] == "2"
    # Of two replicas, one that is down must not end all writing.
    assert planned_config(2, 10)["min.insync.replicas"] == "1"
    assert planned_config(1, 10)["retention.ms"] == "10000"
