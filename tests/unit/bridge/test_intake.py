"""What becomes of one record."""

import json
from dataclasses import replace

import pytest

from agentsched.config.settings import Settings
from agentsched.ledger.values import Admission
from agentsched.wire.codec import Identity
from agentsched.wire.terminal_errors import OVERDUE
from bridge.core.intake import Cancellation, Refused, classify, ended_reply
from bridge.core.rules import Rules
from tests.support.bad_input import ANSWERED, DEAD
from tests.support.requests import ARRIVAL_MS, record, settings
from tests.unit.bridge.driver import SOURCE

TWO_MODELS = [
    {
        "name": "text",
        "task_types": ["text_generation"],
        "endpoints": [{"base_url": "http://127.0.0.1:1/v1"}],
    },
    {"name": "all", "endpoints": [{"base_url": "http://127.0.0.1:1/v1"}]},
]


def facts_of(body, topic="medium_priority", **changes):
    rules = Rules(Settings.model_validate({"models": TWO_MODELS} | changes))
    verdict = classify(record(body=body, topic=topic), SOURCE, rules)
    assert isinstance(verdict, Admission)
    return verdict.facts


def refusal_of(body, **changes):
    """The failed reply that a request is admitted with."""
    rules = Rules(Settings.model_validate({"models": TWO_MODELS} | changes))
    verdict = classify(record(body=body), SOURCE, rules)
    assert isinstance(verdict, Admission)
    return verdict.facts, json.loads(verdict.reply)


TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def trace_of(value):
    verdict = classify(
        record(headers={"traceparent": value}), SOURCE, Rules(settings())
    )
    return verdict.facts.traceparent


def test_the_trace_of_a_request_is_kept():
    assert trace_of(TRACEPARENT) == TRACEPARENT


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "00-1-2-01",
        TRACEPARENT.upper(),
        TRACEPARENT + "-more",
        TRACEPARENT + "\n",
        " " + TRACEPARENT,
        TRACEPARENT.replace("00-4", "ff-4"),
        TRACEPARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        TRACEPARENT.replace("00f067aa0ba902b7", "0" * 16),
        TRACEPARENT.replace("4", "\u0664"),
        "x\r\nauthorization: y",
    ],
)
def test_what_is_no_trace_context_is_ignored(wrong):
    assert trace_of(wrong) == ""


def test_the_class_that_the_message_states_wins_over_the_topic():
    assert facts_of({"priority": "low"}, topic="high_priority").cls == "low"


def test_a_topic_named_for_a_class_gives_it():
    assert facts_of({}, topic="high_priority").cls == "high"


def test_of_exactly_three_topics_the_place_gives_the_class():
    kafka = {"input_topics": ["a", "b", "c"]}
    assert facts_of({}, topic="c", kafka=kafka).cls == "low"


def test_any_other_topic_is_medium():
    assert facts_of({}, topic="x", kafka={"input_topics": ["x"]}).cls == "medium"


def test_a_request_without_model_may_go_to_all_that_serve_its_task():
    assert facts_of({}).models == ("text", "all")
    assert facts_of({"task_type": "image_analysis"}).models == ("all",)


def test_a_named_model_is_the_only_one():
    assert facts_of({"model_id": "all"}).models == ("all",)


def test_the_model_of_the_agent_answers_where_the_request_names_none():
    agents = [{"id": "a", "model": "all"}]
    assert facts_of({"agent_id": "a"}, agents=agents).models == ("all",)


def test_the_group_of_the_configuration_wins_over_the_message():
    agents = [{"id": "a", "group": "g"}]
    body = {"agent_id": "a", "agent_group": "mine"}
    assert facts_of(body, agents=agents).group == "g"
    assert facts_of(body).group == "mine"


@pytest.mark.parametrize(
    ("most", "asked", "ran"),
    [
        ("low", "high", "low"),
        ("medium", "high", "medium"),
        ("medium", "low", "low"),
        ("high", "high", "high"),
    ],
)
def test_a_request_runs_at_the_highest_class_that_its_agent_may_use(most, asked, ran):
    agents = [{"id": "a", "max_priority": most}]
    assert facts_of({"agent_id": "a", "priority": asked}, agents=agents).cls == ran


def test_the_class_of_a_topic_is_lowered_too():
    agents = [{"id": "a", "max_priority": "low"}]
    facts = facts_of({"agent_id": "a"}, topic="high_priority", agents=agents)
    assert facts.cls == "low"


def test_agents_that_are_not_configured_may_use_every_class():
    agents = [{"id": "a", "max_priority": "low"}]
    assert facts_of({"agent_id": "b", "priority": "high"}, agents=agents).cls == "high"


def test_a_refusal_says_the_class_that_the_request_had():
    agents = [{"id": "a", "max_priority": "low"}]
    body = {"agent_id": "a", "priority": "high", "model_id": "nope"}
    _, reply = refusal_of(body, agents=agents)
    assert reply["priority"] == "low"


@pytest.mark.parametrize(
    ("stated", "of_agent", "lives_s"),
    [(None, None, 600), (None, 30, 30), (5, 30, 5), (None, 200_000, 86_400)],
)
def test_time_to_live_is_stated_or_the_agents_or_the_default(stated, of_agent, lives_s):
    agents = [{"id": "a", "ttl_s": of_agent}]
    facts = facts_of({"agent_id": "a", "ttl_s": stated}, agents=agents)
    assert facts.deadline_ms - facts.arrival_ms == lives_s * 1000


def test_an_agent_without_a_group_is_its_own():
    assert facts_of({"agent_id": "a"}).group == "a"


def test_without_a_correlation_id_the_id_is_the_identity():
    assert facts_of({"id": "x"}).correlation_id == "x"


def test_the_body_wins_over_the_headers():
    rules = Rules(settings())
    headers = {"correlation_id": "header", "agent_id": "header"}
    verdict = classify(
        record(body={"correlation_id": "body"}, headers=headers), SOURCE, rules
    )
    assert verdict.facts.correlation_id == "body"
    assert verdict.facts.agent_id == "header"


def test_the_deadline_counts_from_the_append_time_and_is_bounded():
    assert facts_of({"ttl_s": 2}).deadline_ms == ARRIVAL_MS + 2_000
    limited = facts_of({"ttl_s": 999}, limits={"ttl_max_s": 5})
    assert limited.deadline_ms == ARRIVAL_MS + 5_000


def test_two_agents_with_one_correlation_id_are_two_requests():
    first = facts_of({"agent_id": "a", "correlation_id": "c"})
    second = facts_of({"agent_id": "b", "correlation_id": "c"})
    assert first.key != second.key


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"model_id": "nope"}, "UNKNOWN_MODEL"),
        ({"model_id": "text", "task_type": "image_analysis"}, "NO_MODEL_FOR_TASK"),
        ({"reply_topic": "__consumer_offsets"}, "REPLY_TOPIC_NOT_ALLOWED"),
        ({"content": "", "messages": []}, "EMPTY_CONTENT"),
        ({"ttl_s": 0}, "INVALID_REQUEST"),
    ],
)
def test_a_request_that_cannot_run_is_admitted_with_a_failed_reply(body, code):
    facts, reply = refusal_of(body)
    assert (facts.reply_topic, facts.correlation_id) == ("results", "id-0")
    assert (reply["status"], reply["error"]["code"]) == ("failed", code)
    assert reply["correlation_id"] == "id-0"


def test_a_good_request_is_admitted_without_a_reply():
    verdict = classify(record(), SOURCE, Rules(settings()))
    assert verdict.reply == b""


@pytest.mark.parametrize("bad", ANSWERED, ids=str)
def test_whoever_can_be_answered_is(bad):
    rules = Rules(settings())
    verdict = classify(record(0, value=bad.value, headers=bad.headers), SOURCE, rules)
    assert isinstance(verdict, Admission)
    assert verdict.facts.correlation_id == bad.name
    assert json.loads(verdict.reply)["error"]["code"] == bad.code


@pytest.mark.parametrize("bad", DEAD, ids=str)
def test_a_record_that_names_nobody_becomes_a_dead_letter(bad):
    rules = Rules(settings())
    verdict = classify(record(0, value=bad.value, headers=bad.headers), SOURCE, rules)
    assert isinstance(verdict, Refused)
    assert verdict.record.topic == "medium_priority.dead_letter"
    assert verdict.record.headers["reason"] == bad.code
    assert verdict.record.headers["source_offset"] == "0"
    assert verdict.record.value == bad.value


def test_a_refusal_goes_to_the_reply_topic_that_the_request_may_name():
    kafka = {"reply_topics": ["mine"]}
    for wrong in ({"model_id": "nope"}, {"ttl_s": 0}):
        facts, _ = refusal_of({"reply_topic": "mine"} | wrong, kafka=kafka)
        assert facts.reply_topic == "mine"


def test_the_wrong_field_is_what_the_reply_is_about():
    _, reply = refusal_of({"ttl_s": 0, "reply_topic": "nope", "model_id": "nope"})
    assert reply["error"]["message"] == "ttl_s: Input should be greater than 0"


def test_a_refusal_does_not_repeat_the_prompt():
    for wrong in ({"model_id": "nope"}, {"params": "CANARY"}):
        _, reply = refusal_of(wrong | {"content": "CANARY"})
        assert "CANARY" not in json.dumps(reply)


def test_the_overdue_reply_of_an_invalid_request_can_be_written():
    verdict = classify(record(body={"ttl_s": 0}), SOURCE, Rules(settings()))
    assert b'"id":"id-0"' in ended_reply(verdict, OVERDUE)


def test_an_allowed_reply_topic_is_used():
    kafka = {"reply_topics": ["mine"]}
    assert facts_of({"reply_topic": "mine"}, kafka=kafka).reply_topic == "mine"


def test_a_cancel_record_is_not_taken_for_a_request():
    cancel = record(0, {"correlation_id": "c"}, headers={"kind": "cancel"})
    verdict = classify(cancel, SOURCE, Rules(settings()))
    assert verdict == Cancellation(Identity("default", "c").key)


def test_a_cancel_record_may_have_its_identity_in_headers_only():
    headers = {"kind": "cancel", "correlation_id": "c", "agent_id": "a"}
    cancel = replace(record(0, {}), value=None, headers=headers)
    verdict = classify(cancel, SOURCE, Rules(settings()))
    assert verdict == Cancellation(Identity("a", "c").key)


def test_a_cancel_record_of_nobody_is_a_dead_letter():
    cancel = replace(record(0, {}), value=None, headers={"kind": "cancel"})
    verdict = classify(cancel, SOURCE, Rules(settings()))
    assert verdict.record.headers["reason"] == "MISSING_IDENTITY"


def test_a_cancel_record_counts_whatever_else_stands_in_it():
    cancel = record(0, {"id": "x", "ttl_s": 0}, headers={"kind": "cancel"})
    verdict = classify(cancel, SOURCE, Rules(settings()))
    assert verdict == Cancellation(Identity("default", "x").key)
