"""The thread that polls Kafka, over a group member that a test plays."""

import threading
from queue import Empty, SimpleQueue

import pytest

import bridge.kafka_thread
from agentsched.kafka.errors import KafkaFailed
from agentsched.kafka.group.assignment import AssignedPartition
from agentsched.telemetry.health import Indicator
from agentsched.wire.records import Mark, Partition
from bridge.gauges import KAFKA_THREAD_S
from bridge.kafka_thread import MOST_BYTES, KafkaThread
from tests.support.requests import record
from tests.support.waiting import eventually

PLACE, OTHER = Partition("t", 0), Partition("t", 1)
POLL_S = 0.01


class Source:
    """A group member: `do` makes something happen inside its next poll."""

    joined = True

    def __init__(self, owner):
        self.owner, self.will = owner, SimpleQueue()
        self.said, self.threads, self.polls = [], set(), 0
        self.at_close = lambda: None

    def do(self, action):
        self.will.put(action)

    def assign(self, *partitions):
        new = [AssignedPartition(each, "id", None, 0, 10) for each in partitions]
        self.do(lambda: self.owner.on_assigned(new))

    def subscribe(self, topics):
        self.said.append(("subscribe", topics))

    def poll(self, max_records, timeout_s):
        self.threads.add(threading.current_thread())
        self.polls += 1
        try:
            return self.will.get(timeout=min(timeout_s, POLL_S))() or []
        except Empty:
            return []

    def commit(self, marks):
        self.threads.add(threading.current_thread())
        self.said.append(("commit", marks))

    def pause(self, partitions):
        self.said.append(("pause", partitions))

    def resume(self, partitions):
        self.said.append(("resume", partitions))

    def close(self):
        self.at_close()
        self.said.append("closed")


class Loop:
    """What the loop is told; `take` does in its thread what was handed over."""

    def __init__(self):
        self.inbox, self.told, self.marks = SimpleQueue(), [], {}
        self.on_revoke = lambda: None

    def on_assigned(self, assigned):
        self.told += [("assigned", each.partition) for each in assigned]

    def on_revoked(self, revoked):
        self.on_revoke()
        self.told += [("revoked", each) for each in revoked]
        return self.marks

    def on_lost(self, lost):
        self.told += [("lost", each) for each in lost]

    def on_committed(self, offsets):
        self.told.append(("committed", offsets))

    def on_commit_refused(self, partition):
        self.told.append(("refused", partition))

    def on_deleted(self, partition, start):
        self.told.append(("deleted", partition, start))

    def on_read(self, records):
        self.told += [("read", each.offset) for each in records]

    def take(self):
        while True:
            try:
                self.inbox.get_nowait()()
            except Empty:
                return True

    def until(self, *expected):
        """Take until it was told this, as the last."""
        end = list(expected)
        eventually(
            lambda: self.take() and self.told[-len(end) :] == end,
            message=f"expected {end}",
        )


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def thread(loop):
    thread = KafkaThread(Source, loop, loop.inbox.put)
    yield thread
    thread.close()
    eventually(lambda: loop.take() and thread.closed)


@pytest.fixture
def source(thread):
    thread.subscribe(["t"])
    return thread._source


def test_what_happens_is_told_in_its_order_in_the_loops_thread(loop, source):
    source.assign(PLACE)
    source.do(lambda: [record(0, {}), record(1, {})])
    source.do(lambda: source.owner.on_committed({PLACE: 1}))
    source.do(lambda: source.owner.on_deleted(PLACE, 7))
    source.do(lambda: source.owner.on_commit_refused(PLACE))
    source.do(lambda: source.owner.on_lost([PLACE]))
    eventually(source.will.empty)
    assert loop.told == []
    loop.until(
        ("assigned", PLACE),
        ("read", 0),
        ("read", 1),
        ("committed", {PLACE: 1}),
        ("deleted", PLACE, 7),
        ("refused", PLACE),
        ("lost", PLACE),
    )


def test_commits_and_pauses_are_done_by_the_thread_that_polls(loop, thread, source):
    source.assign(PLACE)
    loop.until(("assigned", PLACE))
    thread.commit({PLACE: Mark(3)})
    thread.pause([PLACE])
    thread.resume([PLACE])
    eventually(lambda: len(source.said) == 4)
    assert source.said[1:] == [
        ("commit", {PLACE: Mark(3)}),
        ("pause", (PLACE,)),
        ("resume", (PLACE,)),
    ]
    assert source.threads == {thread._thread}


def test_a_revocation_commits_what_the_loop_answers(loop, source):
    source.assign(PLACE)
    loop.until(("assigned", PLACE))
    loop.marks, answers = {PLACE: Mark(5)}, []
    source.do(lambda: answers.append(source.owner.on_revoked([PLACE])))
    loop.until(("revoked", PLACE))
    eventually(lambda: answers == [{PLACE: Mark(5)}])


def test_what_was_ordered_for_an_earlier_assignment_is_not_done(loop, thread, source):
    """Another member may have committed more in between."""
    source.assign(PLACE, OTHER)
    loop.until(("assigned", PLACE), ("assigned", OTHER))
    source.do(lambda: source.owner.on_lost([PLACE]))
    source.assign(PLACE)
    eventually(source.will.empty)
    thread.commit({PLACE: Mark(3), OTHER: Mark(4)})  # the loop does not know it yet
    eventually(lambda: ("commit", {OTHER: Mark(4)}) in source.said)
    loop.until(("assigned", PLACE))
    thread.commit({PLACE: Mark(8)})
    eventually(lambda: ("commit", {PLACE: Mark(8)}) in source.said)
    assert ("commit", {PLACE: Mark(3)}) not in source.said


def test_a_loop_that_does_not_answer_holds_a_revocation_up_for_a_while_only(
    loop, source, monkeypatch, caplog
):
    monkeypatch.setattr(bridge.kafka_thread, "ANSWER_S", 0.05)
    source.assign(PLACE)
    loop.until(("assigned", PLACE))
    loop.marks, answers = {PLACE: Mark(5)}, []
    source.do(lambda: answers.append(source.owner.on_revoked([PLACE])))
    eventually(lambda: answers == [{}])
    assert "without a last commit" in caplog.text


def test_after_a_late_answer_nothing_overtakes_it(loop, source, monkeypatch):
    """A loop that gives up a partition takes in meanwhile what has come."""
    monkeypatch.setattr(bridge.kafka_thread, "ANSWER_S", 0.05)
    source.assign(PLACE)
    loop.until(("assigned", PLACE))
    answers = []
    source.do(lambda: answers.append(source.owner.on_revoked([PLACE])))
    source.assign(PLACE)
    eventually(lambda: source.will.empty() and answers)
    loop.on_revoke = loop.take
    loop.until(("revoked", PLACE), ("assigned", PLACE))


def test_while_the_loop_is_behind_no_more_is_read(loop, source):
    source.assign(PLACE)
    big = record(0, {"content": "x" * (MOST_BYTES // 4)})
    for _ in range(20):
        source.do(lambda: [big])
    eventually(lambda: loop.inbox.qsize() >= 5)
    polls = source.polls
    assert not source.will.empty()
    assert loop.inbox.qsize() <= 6  # the assignment, four, and the one beyond
    loop.take()
    eventually(lambda: source.polls > polls)
    eventually(lambda: loop.take() and len(loop.told) == 21)


def test_orders_are_done_while_the_loop_is_behind(loop, thread, source):
    source.assign(PLACE)
    loop.until(("assigned", PLACE))
    big = record(0, {"content": "x" * MOST_BYTES})
    source.do(lambda: [big])
    eventually(lambda: loop.inbox.qsize() == 1)
    thread.commit({PLACE: Mark(1)})
    eventually(lambda: ("commit", {PLACE: Mark(1)}) in source.said)


def test_what_ends_the_thread_ends_the_loop(loop, thread, source):
    def broken():
        raise KafkaFailed("broken for good")

    source.do(broken)
    with pytest.raises(KafkaFailed, match="broken for good"):
        eventually(lambda: not loop.take())
    eventually(lambda: thread.closed)
    assert source.said[-1] == "closed"


def test_leaving_asks_the_loop_what_to_commit(loop, thread, source):
    source.assign(PLACE)
    loop.until(("assigned", PLACE))
    answers, loop.marks = [], {PLACE: Mark(9)}
    source.at_close = lambda: answers.append(source.owner.on_revoked([PLACE]))
    thread.close()
    eventually(lambda: loop.take() and thread.closed)
    assert answers == [{PLACE: Mark(9)}]


def test_a_thread_that_never_began_is_closed_at_once(loop):
    thread = KafkaThread(Source, loop, loop.inbox.put)
    thread.close()
    assert thread.closed


def test_a_thread_that_hangs_in_kafkas_client_is_seen(loop):
    now_s, goes_on, hangs = [0.0], threading.Event(), threading.Event()
    health = Indicator("Kafka thread", KAFKA_THREAD_S, lambda: now_s[0], ok=True)
    thread = KafkaThread(Source, loop, loop.inbox.put, health)
    thread.subscribe(["t"])
    thread._source.do(lambda: hangs.set() or (goes_on.wait() and None))
    assert hangs.wait(10)
    now_s[0] += KAFKA_THREAD_S
    assert health.check().ok
    now_s[0] += 1
    assert health.check().detail == "Kafka thread: silent for 91 s"
    goes_on.set()
    eventually(lambda: health.check().ok)
    thread.close()
    eventually(lambda: loop.take() and thread.closed)


def test_of_many_commits_that_wait_only_the_last_is_done(loop, thread, source):
    source.assign(PLACE)
    loop.until(("assigned", PLACE))
    goes_on, hangs = threading.Event(), threading.Event()
    source.do(lambda: hangs.set() or (goes_on.wait() and None))
    assert hangs.wait(10)
    for offset in range(1, 100):
        thread.commit({PLACE: Mark(offset)})
    goes_on.set()
    eventually(lambda: ("commit", {PLACE: Mark(99)}) in source.said)
    assert len([said for said in source.said if said[0] == "commit"]) == 1


def test_a_loop_that_still_owes_an_answer_is_told_of_in_the_log(
    loop, source, monkeypatch, caplog
):
    monkeypatch.setattr(bridge.kafka_thread, "ANSWER_S", 0.05)
    source.assign(PLACE)
    loop.until(("assigned", PLACE))
    source.do(lambda: source.owner.on_revoked([PLACE]) and None)
    source.assign(PLACE)
    eventually(lambda: "has not yet answered" in caplog.text)
    loop.until(("revoked", PLACE), ("assigned", PLACE))
