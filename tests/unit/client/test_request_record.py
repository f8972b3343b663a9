"""From a caller's arguments to the record that a bridge reads."""

import json

import pytest

from agentsched.client.errors import InvalidRequest
from agentsched.client.request_record import RequestOptions, Sender, outgoing
from agentsched.types import Message

SECRET = "the secret prompt"
SENDER = Sender(agent_id="planner", reply_topic="answers")


def body(request):
    return json.loads(request.record.value)


def test_a_plain_prompt_becomes_a_request_of_class_medium():
    request = outgoing(SENDER, "hello", {})
    assert body(request) == {
        "agent_id": "planner",
        "content": "hello",
        "correlation_id": request.identity.correlation_id,
        "priority": "medium",
        "reply_topic": "answers",
    }
    assert request.record.topic == "medium_priority"


def test_every_request_without_an_id_gets_one_of_its_own():
    ids = {outgoing(SENDER, "x", {}).identity.correlation_id for _ in range(100)}
    assert len(ids) == 100


def test_the_identity_and_the_trace_are_in_the_headers_and_the_id_is_the_key():
    options = {"correlation_id": "c", "traceparent": "00-1-2-01"}
    record = outgoing(SENDER, "x", options).record
    assert record.key == "c"
    assert record.headers == {
        "agent_id": "planner",
        "correlation_id": "c",
        "traceparent": "00-1-2-01",
    }
    assert "traceparent" not in json.loads(record.value)


def test_the_class_decides_the_topic():
    assert outgoing(SENDER, "x", {"priority": "low"}).record.topic == "low_priority"


def test_the_same_arguments_give_the_same_bytes_so_that_repeating_is_safe():
    options = {"correlation_id": "c", "params": {"temperature": 0, "max_tokens": 5}}
    values = {outgoing(SENDER, "x", options).record.value for _ in range(2)}
    assert len(values) == 1


def test_options_win_over_the_fields_of_a_message():
    message = Message(content="x", priority="low", agent_id="other", correlation_id="c")
    request = outgoing(SENDER, message, {"priority": "high"})
    assert request.record.topic == "high_priority"
    assert (request.identity.agent_id, body(request)["content"]) == ("other", "x")


def test_who_waits_for_so_long_only_lets_the_request_live_for_so_long():
    request = outgoing(SENDER, "x", {"timeout_s": 10})
    assert (request.timeout_s, body(request)["ttl_s"]) == (10, 10)


def test_a_time_to_live_of_its_own_stays():
    request = outgoing(SENDER, "x", {"timeout_s": 10, "ttl_s": 300})
    assert (request.timeout_s, body(request)["ttl_s"]) == (10, 300)


def test_without_a_time_out_the_reply_of_the_deadline_is_waited_for():
    assert outgoing(SENDER, "x", {"ttl_s": 30}).timeout_s == 90
    assert outgoing(SENDER, "x", {}).timeout_s == SENDER.timeout_s == 660


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("nan")])
def test_a_time_out_must_be_a_time(timeout_s):
    with pytest.raises(InvalidRequest, match="timeout_s"):
        outgoing(SENDER, "x", {"timeout_s": timeout_s})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"priority": "urgent"}, "priority"),
        ({"task_type": "poetry"}, "task_type"),
        ({"ttl_s": -1}, "ttl_s"),
        ({"correlation_id": "c" * 513}, "at most 512"),
        ({"params": {"temperature": float("nan")}}, "not JSON"),
        ({"params": {"stop": object()}}, "not JSON"),
        ({"params": SECRET}, "params"),
        ({"messages": [{"role": "user", "content": SECRET * 100_000}]}, "the limit is"),
    ],
)
def test_what_no_bridge_could_read_is_refused_without_its_content(options, said):
    with pytest.raises(InvalidRequest, match=said) as caught:
        outgoing(SENDER, SECRET, options)
    assert SECRET not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_misspelt_option_is_named():
    with pytest.raises(TypeError, match="prioirty"):
        outgoing(SENDER, "x", {"prioirty": "high"})


def test_every_field_of_a_request_is_an_option_but_what_the_client_itself_decides():
    ours = {"content", "status", "reply_topic", "stream"}
    assert Message.model_fields.keys() - ours == (
        RequestOptions.__annotations__.keys() - {"timeout_s", "traceparent"}
    )
