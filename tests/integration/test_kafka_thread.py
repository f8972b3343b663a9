"""The thread that polls Kafka over the real group member, on both brokers."""

import threading
from queue import Empty, SimpleQueue

import confluent_kafka
import pytest

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.group.request_source import RequestSource
from agentsched.wire.records import Mark, Partition
from bridge.kafka_thread import KafkaThread
from tests.support.waiting import eventually


class Loop:
    """What a bridge's loop does: it takes what comes, and commits what it has read."""

    def __init__(self, settings, topic):
        self.read, self.owned, self.committed = [], set(), {}
        self.threads, self._marks = set(), {}
        self._inbox = SimpleQueue()
        self.kafka = KafkaThread(
            lambda owner: RequestSource(settings, owner), self, self._inbox.put
        )
        self.kafka.subscribe([topic])
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self.kafka.closed:
            try:
                self._inbox.get(timeout=0.05)()
            except Empty:
                continue

    def close(self):
        self.kafka.close()
        self._thread.join(60)
        assert self.kafka.closed

    def on_assigned(self, assigned):
        self.threads.add(threading.current_thread())
        for each in assigned:
            self.owned.add(each.partition)
            self._marks[each.partition] = Mark(each.start)

    def on_read(self, records):
        self.threads.add(threading.current_thread())
        for each in records:
            place = Partition(each.topic, each.partition)
            self.read.append((each.partition, each.offset))
            self._marks[place] = Mark(each.offset + 1)
            self.kafka.commit({place: self._marks[place]})

    def on_revoked(self, revoked):
        self.threads.add(threading.current_thread())
        self.owned.difference_update(revoked)
        return {each: self._marks.pop(each) for each in revoked}

    def on_lost(self, lost):
        self.owned.difference_update(lost)

    def on_committed(self, offsets):
        self.committed |= offsets

    def on_commit_refused(self, partition):
        raise AssertionError("the notes of this test are empty")

    def on_deleted(self, partition, start):
        raise AssertionError("nothing was deleted")


@pytest.fixture
def topic(broker, topic_prefix):
    name = f"{topic_prefix}high_priority"
    broker.create_topics({name: 4})
    return name


@pytest.fixture
def join(broker, topic, topic_prefix):
    loops = []
    settings = KafkaSettings(
        bootstrap_servers=(broker.bootstrap,),
        group_id=f"{topic_prefix}bridge",
        group_protocol="consumer" if broker.kind == "embedded" else "classic",
        fetch_wait_ms=10,
        session_timeout_s=6,
    )

    def join_one():
        loops.append(Loop(settings, topic))
        return loops[-1]

    yield join_one
    for loop in loops:
        loop.close()


@pytest.fixture
def produce(broker, topic):
    client = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap})

    def put(count):
        for number in range(4 * count):
            client.produce(topic, f"{number}", partition=number % 4)
        assert client.flush(10) == 0

    return put


def test_all_is_told_in_the_loops_thread_and_committed(join, produce, topic):
    produce(25)
    loop = join()
    wanted = {Partition(topic, number): 25 for number in range(4)}
    eventually(lambda: loop.committed == wanted, timeout_s=30)
    assert sorted(loop.read) == [(part, off) for part in range(4) for off in range(25)]
    assert loop.threads == {loop._thread}


def test_a_partition_that_moves_is_read_on_where_the_loop_had_come(join, produce):
    one = join()
    produce(10)
    eventually(lambda: len(one.read) == 40, timeout_s=30)
    other = join()
    eventually(lambda: len(one.owned) == len(other.owned) == 2, timeout_s=60)
    produce(10)
    eventually(lambda: len(one.read) + len(other.read) == 80, timeout_s=30)
    one.close()
    eventually(lambda: len(other.owned) == 4, timeout_s=60)
    produce(10)
    eventually(lambda: len(one.read) + len(other.read) == 120, timeout_s=30)
    assert len({*one.read, *other.read}) == 120


def test_who_leaves_while_partitions_move_leaves_in_order(join, produce):
    stays = join()
    eventually(lambda: len(stays.owned) == 4, timeout_s=60)
    for _ in range(3):
        join().close()  # at once: the group is about to hand out
    produce(5)
    eventually(lambda: len(stays.owned) == 4, timeout_s=60)
    eventually(lambda: len({*stays.read}) == 20, timeout_s=60)
