"""Every kind of bad input on real Kafka: each is answered, and the partition moves on."""

import json
from itertools import zip_longest

import pytest
from confluent_kafka import KafkaError

from agentsched.errors import DeliveryFailed
from agentsched.ledger.operator_orders import Control, ControlKind
from agentsched.wire.records import OutboundRecord
from tests.support.bad_input import ANSWERED, DEAD, UNUSUAL, Bad
from tests.support.model_server import ModelServer
from tests.support.replies import RawReplies
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

LIMIT_BYTES = 524_288
BROKERS_LIMIT_BYTES = 1_048_588
"""`message.max.bytes` of a broker that nobody configured."""


def _of_size(name: str, size: int, code: str) -> Bad:
    body = {"correlation_id": name, "content": "x", "padding": ""}
    body["padding"] = "p" * (size - len(json.dumps(body)))
    return Bad(name, json.dumps(body).encode(), code)


BLOCKED = Bad(
    "of-a-blocked-agent",
    b'{"correlation_id": "of-a-blocked-agent", "agent_id": "villain", "content": "x"}',
    "AGENT_BLOCKED",
)
OUTCAST = Bad(
    "of-an-agent-blocked-for-good",
    b'{"correlation_id": "of-an-agent-blocked-for-good", "agent_id": "outcast",'
    b' "content": "x"}',
    "AGENT_BLOCKED",
)
REPLIES = (*ANSWERED, BLOCKED, OUTCAST)
LETTERS = (*DEAD, _of_size("one-byte-too-large", LIMIT_BYTES + 1, "TOO_LARGE"))
GOOD = (*UNUSUAL, _of_size("at-the-limit", LIMIT_BYTES, ""))


@pytest.fixture(scope="module")
def system(tmp_path_factory, kafka):
    root = tmp_path_factory.mktemp("bad-input")
    config = {
        "limits": {"request_max_bytes": LIMIT_BYTES},
        "agents": [{"id": "outcast", "blocked": True}],
    }
    with (
        ModelServer() as server,
        System(root, kafka, server, {"m": 4}, classes=("high",), config=config) as up,
    ):
        yield up.start()


def put(system, record):
    outbound = OutboundRecord(
        system.topics["high"], record.value, record.name, record.headers
    )
    return system.producer.send(outbound)


@pytest.fixture(scope="module")
def sent(system):
    """All of it, with a plain good request behind each; returns their ids."""
    system.ledger.operations.impose(Control(ControlKind.BLOCK, "villain"))
    eventually(lambda: blocked_requests_are_refused(system), timeout_s=20)
    plain = []
    for some in zip_longest(LETTERS, REPLIES, GOOD):
        for record in filter(None, some):
            put(system, record).result(20)
            plain += system.send("high", 1, label="plain")
    return plain


def blocked_requests_are_refused(system):
    (id_,) = system.send("high", 1, agent_id="villain", label="probe")
    reply = system.replies.wait_for({id_}, 30)[id_]
    return reply["status"] == "failed"


def test_every_good_request_is_answered_and_all_offsets_are_committed(system, sent):
    ids = {*sent, *(each.name for each in GOOD)}
    replies = system.replies.wait_for(ids, 90)
    assert {reply["status"] for reply in replies.values()} == {"completed"}
    end = put(system, LETTERS[0]).result(20).offset + 1
    eventually(lambda: system.committed("high") == end, timeout_s=20)


def test_whoever_can_be_answered_is_told_what_is_wrong(system, sent):
    replies = system.replies.wait_for({each.name for each in REPLIES}, 60)
    codes = {name: reply["error"]["code"] for name, reply in replies.items()}
    assert codes == {each.name: each.code for each in REPLIES}
    assert {reply["status"] for reply in replies.values()} == {"failed"}
    counts = system.replies.counts()
    assert {each.name: counts[each.name] for each in REPLIES} == dict.fromkeys(codes, 1)
    assert not {call.prompt for call in system.server.calls} & {None, ""}


def test_the_rest_becomes_dead_letters_that_keep_the_record(system, sent):
    topic = f"{system.topics['high']}.dead_letter"
    with RawReplies(system.kafka.bootstrap, topic, decode=bytes) as letters:
        eventually(lambda: len(letters.all()) >= len(LETTERS), timeout_s=60)
        records = letters.all()[: len(LETTERS)]
        headers = letters.headers()[: len(LETTERS)]
    assert [each["reason"] for each in headers] == [each.code for each in LETTERS]
    assert records == [each.value or b"" for each in LETTERS]
    offsets = [int(each["source_offset"]) for each in headers]
    assert offsets == sorted(set(offsets))


def test_beyond_the_brokers_limit_it_is_the_producer_who_is_told(system):
    enormous = _of_size("enormous", BROKERS_LIMIT_BYTES, "")
    with pytest.raises(DeliveryFailed) as refused:
        put(system, enormous).result(20)
    assert KafkaError(KafkaError.MSG_SIZE_TOO_LARGE).str() in str(refused.value)
