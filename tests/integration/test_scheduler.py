"""The published Scheduler on real Kafka: models come later, children die, it ends."""

import os
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.kafka.producer import Producer
from agentsched.load_balancing.scheduler import Scheduler, SchedulerConfig
from agentsched.types import TaskType
from tests.support.model_server import ModelServer
from tests.support.replies import RawReplies
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

KEY = "canary-key-of-the-scheduler"


@pytest.fixture
def server():
    with ModelServer(delay_s=0.1) as server:
        yield server


@pytest.fixture
def run(kafka, topic_prefix, server):
    """A context in which a scheduler with one model runs, each on the same topics."""
    topics = [f"{topic_prefix}{cls}_priority" for cls in ("high", "medium", "low")]
    output = f"{topic_prefix}results"
    kafka.create_topics(dict.fromkeys([*topics, output], 1))

    @contextmanager
    def running(**more):
        more["group_id"] = topic_prefix
        scheduler = Scheduler(
            SchedulerConfig(kafka.bootstrap, topics, output, 2, **more)
        )
        scheduler.add_llm_model(
            "first", 5, [TaskType.TEXT_GENERATION], server.base_url, KEY
        )
        thread = threading.Thread(target=scheduler.run)
        thread.start()
        try:
            yield scheduler
        finally:
            scheduler.close()
            thread.join(30)
        assert not thread.is_alive()

    return running


@pytest.fixture
def scheduler(run):
    with run() as scheduler:
        yield scheduler


@pytest.fixture
def ask(kafka, topic_prefix):
    producer = Producer(kafka.bootstrap)

    def send(count, **fields):
        for number in range(count):
            id_ = f"{fields.get('model_id', 'any')}-{number}"
            body = {"correlation_id": id_, "content": id_} | fields
            producer.produce(body, f"{topic_prefix}high_priority").result(20)

    yield send
    producer.close()


@pytest.fixture
def replies(kafka, topic_prefix, run):
    del run  # its topics
    with RawReplies(kafka.bootstrap, f"{topic_prefix}results") as replies:
        yield replies


def children():
    """The command lines of our processes' descendants, by pid."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        found[int(path.name)] = (parent, line)
    ours, grown = {os.getpid()}, True
    while grown:
        more = {pid for pid, (parent, _) in found.items() if parent in ours} - ours
        grown, ours = bool(more), ours | more
    return {pid: found[pid][1] for pid in ours if pid in found}


def test_a_model_that_is_added_while_it_runs_answers(scheduler, server, ask, replies):
    ask(2)
    eventually(lambda: len(replies.by_id()) == 2, timeout_s=40)
    scheduler.add_llm_model("second", 1, [TaskType.TEXT_GENERATION], server.base_url)
    eventually(lambda: "second" in scheduler.get_model_stats())
    answered = {"completed"}

    def second_answers():
        ask(1, model_id="second")
        return {
            reply["status"]
            for reply in replies.by_id().values()
            if reply["model_id"] == "second"
        } >= answered

    eventually(second_answers, timeout_s=40)
    assert scheduler.get_model_stats()["first"].total_processed_tasks == 2


def test_no_more_than_max_workers_run_at_once(scheduler, server, ask, replies):
    ask(12)
    eventually(lambda: len(replies.by_id()) == 12, timeout_s=40)
    assert server.peak_in_flight() == 2


def test_the_key_reaches_the_model_and_no_command_line(scheduler, server, ask, replies):
    ask(1)
    eventually(replies.by_id, timeout_s=40)
    assert [call.authorization for call in server.calls] == [True]
    assert KEY not in "\n".join(children().values())


def test_a_worker_that_dies_is_started_again(scheduler, server, ask, replies):
    ask(1)
    eventually(lambda: len(replies.by_id()) == 1, timeout_s=40)
    workers = [pid for pid, line in children().items() if " -Q first" in line]
    for pid in workers:
        if "guard.py" not in children().get(pid, "guard.py"):
            os.kill(pid, 9)
    ask(3, model_id="first")
    eventually(lambda: len(replies.by_id()) == 4, timeout_s=60)


def test_after_an_ordered_end_an_empty_redis_is_no_loss(run, ask, replies, tmp_path):
    """Otherwise the first requests would wait for what may be in flight: some 12 s."""
    with run():
        ask(1)
        eventually(lambda: len(replies.by_id()) == 1, timeout_s=40)
    with EmbeddedValkey(tmp_path / "valkey", tmp_path / "valkey.log") as valkey:
        with run(redis_url=valkey.url):
            ask(1, model_id="first")
            eventually(lambda: len(replies.by_id()) == 2, timeout_s=40)
        with redis.Redis.from_url(valkey.url) as client:
            epoch, fresh = client.hmget("agentsched:epoch", "id", "fresh")
    assert (epoch[:8], fresh) == (b"00000002", b"1")
