"""A doorbell wakes a slot; who has none to wake leaves it to others."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state as worker_state

from agentsched.wire.doorbell import Doorbell
from agentsched.worker import runtime
from agentsched.worker.strategy import Bells
from tests.support.requests import facts

BELL = Doorbell.of(facts("k1"), 1, "e1", "m")
WIRE = ((), BELL.to_wire(), {})


class Celery:
    """A consumer, one message, and the slots that it is for."""

    def __init__(self) -> None:
        self.free = 1
        self.rung: list[Callable[[], None]] = []
        self.did: list[Any] = []
        self.qos = SimpleNamespace(can_consume=lambda: True)
        self.channel = channel = SimpleNamespace(qos=self.qos, _in_poll=None)
        self.bells = Bells(
            SimpleNamespace(
                connection=SimpleNamespace(default_channel=channel),
                connection_errors=(),
                pool=SimpleNamespace(tell=lambda call, *args: call(*args)),
            )
        )
        self.slots = SimpleNamespace(
            waiting=lambda: self.free,
            ring=lambda _, acknowledge: self.rung.append(acknowledge),
        )
        self.revokes = SimpleNamespace(dropped=lambda _: self.did.append("dropped"))

    def receive(self, payload: Any = WIRE) -> None:
        self.bells.received(
            SimpleNamespace(payload=payload),
            None,
            lambda *_: self.did.append("ack"),
            lambda _logger, _errors, requeue: self.did.append(("reject", requeue)),
            None,
        )


@pytest.fixture
def celery(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    celery = Celery()
    monkeypatch.setattr(runtime, "opened", lambda: celery)
    yield celery
    worker_state.revoked.clear()


def test_a_doorbell_is_acknowledged_when_the_slot_has_looked(celery: Celery) -> None:
    celery.receive()
    assert celery.did == []
    celery.rung[0]()
    assert celery.did == ["ack"]


def test_no_more_doorbells_are_fetched_than_slots_wait(celery: Celery) -> None:
    celery.free = 2
    celery.receive()
    assert celery.qos.can_consume()
    celery.receive()
    assert not celery.qos.can_consume()
    celery.rung[0]()
    assert celery.qos.can_consume()


def test_a_busy_worker_fetches_none_and_gives_back_what_comes(celery: Celery) -> None:
    celery.free = 0
    assert not celery.qos.can_consume()
    celery.receive()
    assert (celery.did, celery.rung) == ([("reject", True)], [])


def test_what_was_asked_for_before_is_read_and_given_back(celery: Celery) -> None:
    celery.channel._in_poll = "connection"
    celery.free = 0
    assert celery.qos.can_consume()
    celery.receive()
    celery.channel._in_poll = None
    assert (celery.did, celery.qos.can_consume()) == ([("reject", True)], False)


def test_a_worker_that_is_not_open_gives_back_what_comes(
    celery: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "opened", lambda: None)
    assert not celery.qos.can_consume()
    celery.receive()
    assert celery.did == [("reject", True)]


@pytest.mark.parametrize(
    "payload", ["no task", ((), "no mapping", {}), ((), {"version": 99}, {}), None]
)
def test_what_is_no_doorbell_is_dropped(celery: Celery, payload: Any) -> None:
    celery.receive(payload)
    assert (celery.did, celery.rung) == (["ack"], [])


def test_the_doorbell_of_a_revoked_request_cancels_it(celery: Celery) -> None:
    worker_state.revoked.add(BELL.task_id)
    celery.receive()
    assert (celery.did, celery.rung) == (["dropped", "ack"], [])
