"""Two requests under one identity on the real system: each hears of its own, at once."""

import asyncio
import json
import threading

import pytest

from agentsched.client import AgentClient, ReplyTimeout, RequestConflict, RequestFailed
from agentsched.kafka.consumer import Consumer
from agentsched.wire.codec import hash_value
from tests.support.command import run_agentsched
from tests.support.model_server import Hold, ModelServer, digest
from tests.support.replies import RawReplies
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

TIMEOUT_S = 90.0
"""Of the requests: whoever is told at once is told long before."""
SOON_S = 30.0


@pytest.fixture(scope="module")
def system(tmp_path_factory, kafka):
    root = tmp_path_factory.mktemp("conflicts")
    with ModelServer() as server, System(root, kafka, server, {"m": 2}) as system:
        yield system.start()


@pytest.fixture
def clients(system):
    """Two programs of the same agent."""
    settings = system.settings
    with (
        AgentClient.of(settings, agent_id="planner") as first,
        AgentClient.of(settings, agent_id="planner") as second,
    ):
        yield first, second
        first.close()
        second.close()


def answer_of(prompt):
    return f"m {digest(prompt)}"


def test_of_two_programs_that_use_an_id_the_second_is_told_while_the_first_runs(
    system, clients
):
    first, second = clients
    go_on = threading.Event()
    system.server.then("m", Hold(go_on.is_set))
    try:
        one = first.submit("one", correlation_id="both", timeout_s=TIMEOUT_S)
        eventually(lambda: system.server.in_flight("m") == 1, timeout_s=30)
        two = second.submit("two", correlation_id="both", timeout_s=TIMEOUT_S)
        with pytest.raises(RequestConflict, match="new correlation_id") as caught:
            two.result(SOON_S)
        assert caught.value.correlation_id == "both"
        assert not one.done()
    finally:
        go_on.set()
    assert one.result(SOON_S).content == answer_of("one")


def test_after_the_answer_the_second_is_told_too_and_gets_no_answer_of_the_first(
    clients,
):
    first, second = clients
    options = {"correlation_id": "later", "timeout_s": TIMEOUT_S}
    assert first.request("one", **options).content == answer_of("one")
    with pytest.raises(RequestConflict):
        second.submit("two", **options).result(SOON_S)
    with pytest.raises(RequestConflict):
        asyncio.run(asyncio.wait_for(second.ask("three", **options), SOON_S))
    # The very same request is no conflict: it gets its reply again.
    assert second.submit("one", **options).result(SOON_S).content == answer_of("one")


def test_who_times_out_and_uses_the_id_again_does_not_get_the_answer_to_the_first(
    system, clients
):
    client, _ = clients
    go_on = threading.Event()
    system.server.then("m", Hold(go_on.is_set))
    try:
        with pytest.raises(ReplyTimeout):
            client.request("one", correlation_id="mine", timeout_s=2, ttl_s=TIMEOUT_S)
        two = client.submit("two", correlation_id="mine", timeout_s=TIMEOUT_S)
        with pytest.raises(RequestConflict):
            two.result(SOON_S)
    finally:
        go_on.set()
    system.replies.wait_for({"mine"}, SOON_S)


def test_a_refused_request_and_a_good_one_are_told_apart(system, clients):
    first, second = clients
    options = {"correlation_id": "bad", "timeout_s": TIMEOUT_S}
    with pytest.raises(RequestFailed, match="UNKNOWN_MODEL"):
        first.request("one", model_id="nobody", **options)
    with pytest.raises(RequestConflict):
        second.submit("one", **options).result(SOON_S)


def test_every_reply_names_its_payload_and_the_conflict_the_refused_one(system):
    bodies = [
        {"correlation_id": "raw", "content": "one"},
        {"correlation_id": "raw", "content": "two"},
        {"correlation_id": "raw", "content": "one"},
        {"correlation_id": "late", "content": "one", "ttl_s": 0.001},
        {"correlation_id": "none", "content": ""},
    ]
    values = [json.dumps(body).encode() for body in bodies]
    for value in values:
        system.producer.produce(value, system.topics["high"]).result(20)
    system.replies.wait_for({"raw", "late", "none"}, SOON_S)
    told = eventually(lambda: conflicts(system, "raw"), timeout_s=SOON_S)
    assert [headers["payload_hash"] for _, headers in told] == [hash_value(values[1])]
    assert told[0][0]["conflict"]["source"]["topic"] == system.topics["high"]
    named = {
        headers["correlation_id"]: headers["payload_hash"]
        for headers in system.replies.headers()
        if headers["correlation_id"] in ("raw", "late", "none")
    }
    wanted = {"raw": values[0], "late": values[3], "none": values[4]}
    assert named == {name: hash_value(value) for name, value in wanted.items()}
    assert all("payload_hash" in headers for headers in system.replies.headers())
    letters = f"{system.topics['high']}.dead_letter"
    with RawReplies(system.kafka.bootstrap, letters, decode=bytes) as dead:
        eventually(dead.headers, timeout_s=20)
        assert [h["reason"] for h in dead.headers()] == ["CONFLICT"]
    eventually(lambda: system.committed("high") == len(values), timeout_s=20)


def conflicts(system, correlation_id):
    """Value and headers of the conflict records of an id."""
    return [
        (value, headers)
        for value, headers in system.replies.conflicts()
        if headers["correlation_id"] == correlation_id
    ]


def send(system, path):
    return run_agentsched(system.root, "send", "--ttl", "90s", "--file", str(path))


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_file_that_is_sent_twice_gets_its_replies_again_without_a_call(system):
    path = system.root / "same.jsonl"
    path.write_text(
        '{"correlation_id": "file-1", "content": "first of a file"}\n'
        '{"correlation_id": "file-2", "content": "second of a file"}\n'
    )
    first, again = send(system, path), send(system, path)
    assert (first.returncode, again.returncode) == (0, 0), again.stderr
    in_order = lambda done: sorted(lines(done), key=lambda each: each["id"])  # noqa: E731
    assert in_order(first) == in_order(again)
    # Also from another line: what was answered before is left out of a second run.
    path.write_text('{"correlation_id": "file-2", "content": "second of a file"}\n')
    rest = send(system, path)
    assert (rest.returncode, lines(rest)) == (0, in_order(first)[1:]), rest.stderr
    prompts = [call.prompt for call in system.server.calls]
    assert prompts.count("second of a file") == 1


def test_a_file_of_other_content_under_the_same_ids_is_told_soon_what_to_do(system):
    path = system.root / "changed.jsonl"
    path.write_text('{"correlation_id": "changed", "content": "before"}\n')
    assert send(system, path).returncode == 0
    path.write_text('{"correlation_id": "changed", "content": "after"}\n')
    done = send(system, path)  # the command itself has 60 s
    assert (done.returncode, done.stdout) == (1, "")
    assert "request 1: CONFLICT: changed: " in done.stderr
    assert "new correlation_id" in done.stderr
    assert "after" not in done.stderr


def test_conflicts_are_shown_among_the_replies_marked_as_such(system):
    for content in ("one", "two"):
        body = {"correlation_id": "shown", "content": content, "agent_id": "seen"}
        system.producer.produce(json.dumps(body).encode(), system.topics["low"]).result(
            20
        )
    eventually(lambda: conflicts(system, "shown"), timeout_s=SOON_S)
    system.replies.wait_for({"shown"}, SOON_S)
    shown = run_agentsched(system.root, "replies", "--agent", "seen")
    assert sorted(each["status"] for each in lines(shown)) == ["completed", "conflict"]
    only = run_agentsched(
        system.root, "replies", "--agent", "seen", "--status", "conflict"
    )
    (found,) = lines(only)
    assert found["correlation_id"] == "shown"
    assert found["payload_hash"] == conflicts(system, "shown")[0][1]["payload_hash"]


def test_the_published_consumer_hands_out_replies_only(system, caplog):
    consumer = Consumer(system.kafka.bootstrap, "reader", "earliest")
    try:
        consumer.subscribe([system.output_topic])
        wanted = len({h["correlation_id"] for h in system.replies.headers()})
        found = []
        eventually(
            lambda: (
                found.append(consumer.consume(0.5))
                or len(list(filter(None, found))) == wanted
            ),
            timeout_s=30,
        )
        assert consumer.consume(1.0) is None
    finally:
        consumer.close()
    assert {message.status for message in found if message} <= {"completed", "failed"}
    assert "no message" not in caplog.text


def test_the_same_request_again_right_after_its_reply_is_answered_each_time(clients):
    client, _ = clients
    for number in range(60):
        options = {"correlation_id": f"again-{number}", "timeout_s": TIMEOUT_S}
        first = client.request("one", **options)
        # While the worker notes that the reply is out, it is neither new nor answered.
        assert client.submit("one", **options).result(SOON_S) == first
