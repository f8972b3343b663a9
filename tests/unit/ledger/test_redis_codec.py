"""How the ledger's values look in Redis."""

import json
from dataclasses import replace

import pytest

from agentsched.errors import LedgerError
from agentsched.ledger.redis import codec
from agentsched.wire.records import RecordAt
from agentsched.wire.request_facts import RequestFacts

FACTS = RequestFacts(
    key="k" * 32,
    agent_id="ägent \ud800",
    correlation_id="c | \n%7C",
    group="g",
    cls="high",
    models=("a|b", "c"),
    task_type="text_generation",
    tokens=3,
    arrival_ms=1,
    deadline_ms=2,
    topic="t",
    partition=0,
    offset=2**40,
    source="t:id:0",
    reply_topic="results",
)


def test_facts_come_back_as_they_were():
    assert codec.decode_facts(codec.encode_facts(FACTS)) == FACTS


def test_the_trace_comes_back_and_is_not_written_where_there_is_none():
    traced = replace(FACTS, traceparent="00-1-2-01")
    assert codec.decode_facts(codec.encode_facts(traced)) == traced
    assert "traceparent" not in codec.encode_facts(FACTS)


def test_facts_are_one_line_of_ascii():
    text = codec.encode_facts(FACTS)
    assert text.isascii()
    assert text.isprintable()


def test_unknown_fields_of_facts_are_ignored():
    data = json.loads(codec.encode_facts(FACTS)) | {"later": 1}
    assert codec.decode_facts(json.dumps(data)) == FACTS


def test_facts_of_another_version_are_refused():
    data = json.loads(codec.encode_facts(FACTS)) | {"version": 99}
    with pytest.raises(LedgerError, match="version 99"):
        codec.decode_facts(json.dumps(data))


@pytest.mark.parametrize(
    "pair", [("gpt-4", "http://a/v1"), ("a|b", "c|d"), ("%7C", "%"), ("%25|", "")]
)
def test_a_pool_comes_back_as_it_was(pair: tuple[str, str]):
    assert codec.decode_pool(codec.encode_pool(*pair)) == pair


def test_different_pools_have_different_names():
    assert codec.encode_pool("a|b", "c") != codec.encode_pool("a", "b|c")


def test_a_place_in_kafka_comes_back_as_it_was():
    at = RecordAt("results.v2", 12, 2**40)
    assert codec.decode_record_at(codec.encode_record_at(at).encode()) == at
