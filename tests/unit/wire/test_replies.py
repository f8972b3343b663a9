"""Replies: what they say, and where they go."""

import json

from agentsched.types import Message, ReplyError
from agentsched.wire.codec import Identity
from agentsched.wire.replies import failed_reply, reply_record
from tests.support.requests import facts


def test_a_failed_reply_echoes_the_labels_and_not_the_prompt():
    request = Message(id="x", session_id="s", content="CANARY", priority="low")
    error = ReplyError(code="UNKNOWN_MODEL", message="no such model")
    body = json.loads(failed_reply(request, Identity("a", "c"), error))
    assert (body["id"], body["session_id"], body["priority"]) == ("x", "s", "low")
    assert (body["status"], body["correlation_id"]) == ("failed", "c")
    assert body["content"] is None


def test_a_reply_has_the_trace_of_its_request():
    assert reply_record(facts(traceparent="t"), b"{}", "").headers["traceparent"] == "t"
    assert "traceparent" not in reply_record(facts(), b"{}", "").headers


def test_a_reply_is_keyed_and_headed_and_says_what_it_answers():
    sent = reply_record(facts("k", correlation_id="c", offset=7), b"{}", "ab12")
    assert (sent.topic, sent.key) == ("results", "c")
    assert sent.headers["correlation_id"] == "c"
    assert sent.headers["source_topic"] == "medium_priority"
    assert sent.headers["source_offset"] == "7"
    assert sent.headers["source_topic_id"] == "t1"
    assert sent.headers["agentsched_version"] == "2"
    assert sent.headers["payload_hash"] == "ab12"


def test_a_reply_whose_payload_is_not_known_names_none():
    assert "payload_hash" not in reply_record(facts(), b"{}", "").headers
