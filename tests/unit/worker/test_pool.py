"""The pool gives every slot back, whatever a task does."""

import threading
from collections.abc import Iterator

import pytest
from celery.exceptions import Reject

from agentsched.worker.pool import TaskPool
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
        pool.apply_async(lambda: both.wait(5), callback=ended.append)
    eventually(lambda: len(ended) == 2)


def test_it_grows_while_it_works(pool: TaskPool) -> None:
    pool.grow(1)
    three = threading.Barrier(3)
    ended: list[object] = []
    for _ in range(3):
        pool.apply_async(lambda: three.wait(5), callback=ended.append)
    eventually(lambda: len(ended) == 3)
    assert pool.num_processes == 3


def test_it_keeps_one_slot_when_it_shrinks(pool: TaskPool) -> None:
    pool.shrink(5)
    assert pool.num_processes == 1


def test_cancelling_names_the_thread_that_runs_the_task(pool: TaskPool) -> None:
    cancelled: list[int] = []
    pool.on_cancel = cancelled.append
    accepted: list[int] = []
    ran_in: list[int] = []
    pool.apply_async(
        lambda: ran_in.append(threading.get_ident()),
        callback=lambda _: None,
        accept_callback=lambda pid, _: accepted.append(pid),
    )
    eventually(lambda: ran_in)

    pool.terminate_job(accepted[0])

    assert cancelled == ran_in
