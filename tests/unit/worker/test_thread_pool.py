"""The pool gives every slot back, whatever a task does."""

import socket
import threading
from collections.abc import Iterator

import pytest
from celery.exceptions import Reject
from kombu.asynchronous import Hub
from kombu.asynchronous.timer import Timer

from agentsched.worker.thread_pool import TaskPool
from tests.support.waiting import eventually


@pytest.fixture
def pool() -> Iterator[TaskPool]:
    pool = TaskPool(2)
    pool.start()
    yield pool
    pool.stop()


def ends_with(pool: TaskPool, target) -> tuple[bool, object]:
    ended: list[tuple[bool, object, float]] = []
    pool.apply_async(target, callback=ended.append)
    ((failed, value, _),) = eventually(lambda: ended)
    return failed, value


def test_what_a_task_returns_gets_to_celery(pool: TaskPool) -> None:
    assert ends_with(pool, lambda: (False, "done", 0.1)) == (False, "done")


@pytest.mark.parametrize("escaped", [ValueError, SystemExit, KeyboardInterrupt])
def test_what_escapes_the_tracer_is_a_rejection(pool: TaskPool, escaped) -> None:
    def target() -> None:
        raise escaped("secret")

    failed, info = ends_with(pool, target)

    assert failed
    rejection = info.exception.exc  # as Celery's request unwraps it
    assert isinstance(rejection, Reject)
    assert not rejection.requeue


def test_a_rejection_does_not_repeat_the_text_of_what_escaped(pool: TaskPool) -> None:
    def target() -> None:
        raise ValueError("secret")

    _, info = ends_with(pool, target)
    assert "secret" not in f"{info.exception!r} {info.traceback}"


def test_a_slot_is_free_after_an_escape(pool: TaskPool) -> None:
    def target() -> None:
        raise ValueError

    for _ in range(5):
        ends_with(pool, target)
    assert ends_with(pool, lambda: (False, "still works", 0.0))[1] == "still works"


def test_it_runs_as_many_tasks_at_once_as_it_has_slots(pool: TaskPool) -> None:
    both = threading.Barrier(2)
    ended: list[object] = []
    for _ in range(2):
        pool.apply_async(lambda: both.wait(60), callback=ended.append)
    eventually(lambda: len(ended) == 2)


def test_it_grows_while_it_works(pool: TaskPool) -> None:
    pool.grow(1)
    three = threading.Barrier(3)
    ended: list[object] = []
    for _ in range(3):
        pool.apply_async(lambda: three.wait(60), callback=ended.append)
    eventually(lambda: len(ended) == 3)
    assert pool.num_processes == 3


def test_it_keeps_one_slot_when_it_shrinks(pool: TaskPool) -> None:
    pool.shrink(5)
    assert pool.num_processes == 1
    pool.grow(-5)
    assert pool.num_processes == 1


@pytest.fixture
def hub(pool: TaskPool) -> Iterator[Hub]:
    """The consumer's loop, which a test turns; its broker has nothing to say."""
    hub = Hub(Timer())
    here, there = socket.socketpair()
    hub.add_reader(here, lambda: None)
    pool.register_with_event_loop(hub)
    yield hub
    pool.stop()
    hub.close()
    here.close()
    there.close()


def run_all(pool: TaskPool) -> None:
    """Let the threads end what they have, and themselves."""
    pool.executor.shutdown(wait=True)


def test_celery_is_called_back_in_its_loop_and_in_order(
    pool: TaskPool, hub: Hub
) -> None:
    heard: list[tuple[str, int]] = []

    def hear(what: str) -> None:
        heard.append((what, threading.get_ident()))

    for _ in range(3):
        pool.apply_async(
            lambda: (False, "done", 0.0),
            callback=lambda _: hear("ended"),
            accept_callback=lambda *_: hear("accepted"),
        )
    run_all(pool)
    assert heard == []

    hub.run_once()

    assert {thread for _, thread in heard} == {threading.get_ident()}
    words = [what for what, _ in heard]
    assert (words.count("ended"), words[0]) == (3, "accepted")


@pytest.mark.usefixtures("hub")
def test_what_ends_after_the_loop_is_told_when_the_pool_stops(pool: TaskPool) -> None:
    ended: list[object] = []
    pool.apply_async(lambda: (False, "done", 0.0), callback=ended.append)
    pool.stop()
    assert ended == [(False, "done", 0.0)]


def test_an_error_of_celery_itself_does_not_end_its_loop(
    pool: TaskPool, hub: Hub
) -> None:
    heard: list[bool] = []

    def fail_once(result: tuple[bool, object, float]) -> None:
        heard.append(result[0])
        if len(heard) == 1:
            raise SystemExit

    pool.apply_async(lambda: (False, "done", 0.0), callback=fail_once)
    run_all(pool)
    hub.run_once()
    assert heard == [False, True]  # the second time as a rejection


def test_the_loop_does_not_wait_before_what_celery_left_for_its_next_turn(
    pool: TaskPool, hub: Hub
) -> None:
    acknowledged: list[int] = []
    waits: list[int] = []
    poll = hub.poller.poll

    def note(timeout_s: float) -> list[tuple[int, int]]:
        events = poll(timeout_s)
        if not acknowledged:
            waits.append(len(events))
        return events

    hub.poller.poll = note
    pool.apply_async(
        lambda: (False, "done", 0.0),
        # As a request does it with its acknowledgement.
        callback=lambda _: hub.call_soon(acknowledged.append, 1),
        accept_callback=lambda *_: None,
    )
    run_all(pool)

    while not acknowledged:
        hub.run_once()

    assert 0 not in waits, "it waited, and in vain"


def test_a_new_connection_of_the_loop_hears_what_ended_before_it(
    pool: TaskPool, hub: Hub
) -> None:
    ended: list[object] = []
    pool.apply_async(lambda: (False, "done", 0.0), callback=ended.append)
    run_all(pool)
    hub.reset()  # as Celery does when its connection is lost

    pool.register_with_event_loop(hub)
    hub.run_once()

    assert ended == [(False, "done", 0.0)]
