"""One client, many callers: replies by identity, typed errors, bounds, an orderly end.

The system behind it is played by `Answerer`; the real one is in
`test_thousand_callers.py`.
"""

import asyncio
import contextlib
import gc
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agentsched.client import (
    AgentClient,
    ClientClosed,
    InvalidRequest,
    ReplyTimeout,
    RequestFailed,
    RequestNotAccepted,
    reply_thread,
)
from agentsched.types import Message, ReplyError
from agentsched.wire.codec import Identity
from tests.support.answerer import Answerer, completed
from tests.support.waiting import eventually

CLASSES = ("high", "medium", "low")


class Topics:
    def __init__(self, broker, prefix):
        self.inputs = tuple(f"{prefix}{cls}_priority" for cls in CLASSES)
        self.replies = f"{prefix}results"
        self._broker = broker
        broker.create_topics(dict.fromkeys((*self.inputs, self.replies), 2))

    def client(self, **options):
        return AgentClient(
            self._broker.bootstrap,
            input_topics=self.inputs,
            reply_topic=self.replies,
            fetch_wait_ms=10,
            **options,
        )

    def answerer(self, *script):
        return Answerer(self._broker.bootstrap, self.inputs, self.replies, *script)


@pytest.fixture
def topics(broker, topic_prefix):
    return Topics(broker, topic_prefix)


def silence(_request):
    return []


def asked(system, correlation_id):
    """The request of that name, once the system has read it."""
    found = (request for _, request in system.requests)
    return next((one for one in found if one.correlation_id == correlation_id), None)


def test_a_request_is_answered_with_the_reply_to_it(topics):
    with topics.answerer() as system, topics.client(agent_id="planner") as client:
        reply = client.request("hello", priority="high", id="mine")
    assert (reply.content, reply.id, reply.agent_id) == ("hello", "mine", "planner")
    ((record, request),) = system.requests
    assert record.topic == topics.inputs[0]
    assert record.headers["correlation_id"] == request.correlation_id
    assert record.headers["agent_id"] == "planner"


def test_each_caller_gets_its_own_reply_whatever_their_order(topics):
    kept = []

    def in_reverse(request):
        kept.append(request)
        return [completed(one) for one in reversed(kept)] if len(kept) == 20 else []

    with topics.answerer(in_reverse), topics.client() as client:
        futures = [client.submit(f"prompt {n}") for n in range(20)]
        contents = [future.result(30).content for future in futures]
    assert contents == [f"prompt {n}" for n in range(20)]


def test_the_first_reply_counts_and_replies_of_others_are_ignored(topics):
    def noisy(request):
        other = request.model_copy(update={"agent_id": "another"})
        return [
            completed(other, "of another agent"),
            completed(request, "first"),
            completed(request, "second"),
        ]

    with topics.answerer(noisy), topics.client() as client:
        assert [client.request("x").content for _ in range(3)] == ["first"] * 3


def test_coroutines_ask_in_the_same_way(topics):
    async def ask_all():
        async with topics.client() as client:
            asked = [client.ask(f"prompt {n}", timeout_s=50) for n in range(50)]
            return [reply.content for reply in await asyncio.gather(*asked)]

    with topics.answerer():
        assert asyncio.run(ask_all()) == [f"prompt {n}" for n in range(50)]


def test_a_whole_message_can_be_sent(topics):
    with topics.answerer() as system, topics.client() as client:
        client.request(
            Message(content="x", correlation_id="c-1", task_type="data_processing")
        )
    assert system.requests[0][1].task_type == "data_processing"


def test_a_failed_reply_is_raised_with_the_reply_in_it(topics):
    def fail(request):
        error = ReplyError(code="MODEL_REJECTED", message="no")
        return [completed(request, status="failed", error=error)]

    with topics.answerer(fail), topics.client() as client:
        with pytest.raises(RequestFailed, match="MODEL_REJECTED: no") as caught:
            client.request("x", id="mine")
        assert caught.value.reply.id == "mine"
        assert not caught.value.retryable


def test_no_reply_in_time_is_a_time_out_and_a_late_one_is_ignored(topics):
    with topics.answerer(silence) as system, topics.client() as client:
        client.submit("opens the client").cancel()
        with pytest.raises(ReplyTimeout, match=r"c-1 within 0\.5 s") as caught:
            client.request("x", correlation_id="c-1", timeout_s=0.5)
        assert isinstance(caught.value, TimeoutError)
        request = eventually(lambda: asked(system, "c-1"))
        system.send(completed(request, "late"))
        # The same again: its own reply, not the late one, may count.
        second = client.submit("y", correlation_id="c-2", timeout_s=30)
        system.send(completed(eventually(lambda: asked(system, "c-2"))))
        assert second.result(30).content == "y"


def test_an_identity_is_outstanding_once(topics):
    with topics.answerer(silence), topics.client() as client:
        first = client.submit("x", correlation_id="c-1")
        with pytest.raises(InvalidRequest, match="outstanding already"):
            client.submit("x", correlation_id="c-1")
        assert first.cancel()


def test_a_cancelled_coroutine_or_future_cancels_its_request(topics):
    async def give_up(client):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.ask("x", correlation_id="c-1"), 0.5)

    with topics.answerer(silence) as system, topics.client() as client:
        asyncio.run(give_up(client))
        client.submit("y", correlation_id="c-2", agent_id="other").cancel()
        assert client.outstanding == 0
        eventually(lambda: len(system.cancelled) == 2, timeout_s=20)
        assert set(system.cancelled) == {
            Identity("default", "c-1"),
            Identity("other", "c-2"),
        }


def test_a_request_can_be_cancelled_by_its_id(topics):
    with topics.answerer(silence) as system, topics.client() as client:
        future = client.submit("x", correlation_id="c-1", priority="low")
        at = client.cancel("c-1").result(20)
        assert at.topic == topics.inputs[2]
        assert eventually(lambda: system.cancelled) == [Identity("default", "c-1")]
        assert not future.done()  # its end is the system's answer
        client.cancel("another's", "other").result(20)
        future.cancel()


def test_beyond_the_bound_callers_wait_for_a_place(topics):
    with topics.answerer(silence) as system, topics.client(max_outstanding=2) as client:
        first = [client.submit("1"), client.submit("2")]
        third = []
        thread = threading.Thread(target=lambda: third.append(client.request("3")))
        thread.start()
        eventually(lambda: len(system.requests) == 2, timeout_s=30)
        assert client.outstanding == 2
        system.send(completed(system.requests[0][1]))
        eventually(lambda: len(system.requests) == 3, timeout_s=30)
        for _, request in system.requests[1:]:
            system.send(completed(request))
        thread.join()
        assert [future.result(30).content for future in first] == ["1", "2"]
        assert third[0].content == "3"


def test_who_gets_no_place_in_time_is_told_that_nothing_was_sent(topics):
    async def ask(client):
        await client.ask("2", timeout_s=0.3)

    with topics.answerer(silence), topics.client(max_outstanding=1) as client:
        first = client.submit("1")
        with pytest.raises(RequestNotAccepted, match="s: 1 requests are outstanding"):
            client.request("2", timeout_s=0.3)
        with pytest.raises(RequestNotAccepted, match="not sent within"):
            asyncio.run(ask(client))
        first.cancel()


def test_closing_fails_what_is_outstanding_and_everything_after(topics):
    client = topics.client()
    with topics.answerer(silence):
        future = client.submit("x", correlation_id="c-1")
        client.close()
        client.close()
    with pytest.raises(ClientClosed, match="c-1"):
        future.result(0)
    with pytest.raises(ClientClosed, match="not sent"):
        client.submit("x")


def test_closing_ends_those_who_wait_for_a_place(topics):
    client = topics.client(max_outstanding=1)
    with topics.answerer(silence):
        client.submit("1")
        errors = []

        def second():
            try:
                client.request("2")
            except ClientClosed as error:
                errors.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        client.close()
        thread.join()
    assert len(errors) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_ends_the_clients_thread_leaves_nobody_waiting(topics):
    def end_it(_future):
        raise SystemExit

    client = topics.client()
    with topics.answerer(silence) as system:
        client.submit("1").add_done_callback(end_it)
        waiting = client.submit("2")
        eventually(lambda: len(system.requests) == 2, timeout_s=20)
        first = next(each for _, each in system.requests if each.content == "1")
        system.send(completed(first))
        with pytest.raises(ClientClosed, match="thread has ended"):
            waiting.result(20)
        with pytest.raises(ClientClosed, match="not sent"):
            client.submit("3")
        client.close()


def test_leaving_the_block_waits_for_the_replies(topics):
    with topics.answerer():
        with topics.client() as client:
            futures = [client.submit(f"{n}") for n in range(20)]
        assert [future.result(0).content for future in futures] == [
            f"{n}" for n in range(20)
        ]


def test_an_error_in_the_block_waits_for_nothing(topics):
    with topics.answerer(silence):
        client = topics.client()
        with pytest.raises(KeyError):
            fail_after(client.submit("x"), client)
        assert client.outstanding == 0


def fail_after(future, client):
    with client:
        assert not future.done()
        raise KeyError


def test_nothing_is_opened_before_the_first_request_and_nothing_left_after_the_last(
    topics,
):
    gc.collect()
    before = kafka_clients()
    client = topics.client()
    assert kafka_clients() <= before
    with client:
        client.submit("x").cancel()
        # A thread has the name of the one that began it, until it gives itself its own.
        eventually(lambda: len(kafka_clients() - before) == 2, timeout_s=10)
    # Linux shows a thread for a moment after its join.
    eventually(lambda: kafka_clients() <= before, timeout_s=10)
    assert [t for t in threading.enumerate() if t.name.startswith("agentsched")] == []


def kafka_clients():
    """Each client of librdkafka, producer or consumer, has one thread of this name."""
    found = set()
    for path in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # the thread has ended meanwhile
            if path.read_text() == "rdk:main\n":
                found.add(path.parent.name)
    return found


@pytest.fixture
def nowhere(monkeypatch):
    """Where no Kafka is, with less patience than usual."""
    monkeypatch.setattr(reply_thread, "PATIENCE_S", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_a_kafka_that_cannot_be_reached_is_told_in_time(nowhere):
    with AgentClient(nowhere, properties={"log_level": 0}) as client:
        with pytest.raises(RequestNotAccepted, match="Kafka has not answered yet"):
            client.request("x", timeout_s=0.01)
        with pytest.raises(RequestNotAccepted, match=f"not sent: .*{nowhere}"):
            client.request("x")
        with pytest.raises(RequestNotAccepted, match="not sent"):
            asyncio.run(client.ask("x"))


def test_a_wrong_property_is_told_at_once():
    with (
        AgentClient("127.0.0.1:1", properties={"no.such.key": 1}) as client,
        pytest.raises(RequestNotAccepted, match=r"no\.such\.key"),
    ):
        client.request("x")


@pytest.mark.kafka
def test_a_request_that_kafka_refuses_is_not_accepted(kafka):
    client = AgentClient(kafka.bootstrap, input_topics=["no-such-topic"])
    with client, pytest.raises(RequestNotAccepted, match="no-such-topic"):
        client.request("x")
    assert client.outstanding == 0


def test_a_name_that_no_topic_can_have_is_refused_before_anything_is_sent():
    with pytest.raises(ValueError, match="no topic!"):
        AgentClient("127.0.0.1:1", input_topics=["no topic!"])


def test_a_client_needs_a_topic_and_a_bound():
    for options in ({"input_topics": ()}, {"max_outstanding": 0}):
        with pytest.raises(ValueError, match="a client needs"):
            AgentClient("127.0.0.1:1", **options)


def test_the_library_loads_neither_celery_nor_redis():
    code = (
        "import sys, agentsched.client;"
        "print([m for m in ('celery', 'kombu', 'redis', 'httpx') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"
