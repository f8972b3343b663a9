"""The change reader: it hands over what happened, also that the log was put back."""

import threading
from queue import Empty, SimpleQueue

import pytest

import bridge.change_log
from agentsched.errors import LedgerError, NewerFormat
from agentsched.ledger.values import ChangeKind
from agentsched.telemetry.health import Indicator
from bridge.change_log import ChangeReader
from tests.support.ledgers import InMemory, World
from tests.support.waiting import eventually

SECRET = "what a request says"


class Reading:
    """A reader from the beginning of an epoch on, and what it has handed over."""

    def __init__(self, world: World):
        self.inbox, self.kinds = SimpleQueue(), []
        self.health = Indicator("change log", 60)
        self.reader = ChangeReader(
            world.ledger, self.inbox.put, lambda: 7, health=self.health
        )
        self.reader.start(world.epoch, world.cursor())

    def take(self) -> None:
        """Do what the loop does, until nothing waits."""
        while True:
            try:
                events = self.inbox.get_nowait()()
            except Empty:
                return
            for event in events:
                self.kinds += [change.kind for change in event.changes]

    def saw(self, kind: ChangeKind) -> bool:
        self.take()
        return kind in self.kinds


@pytest.fixture
def world() -> World:
    return World(InMemory())


def test_it_goes_on_after_what_it_could_not_read(world):
    read, refused = world.ledger.changes, threading.Event()

    def refuse_once(*_, **__):
        world.ledger.changes = read
        refused.set()
        raise NewerFormat("upgrade this process")

    world.ledger.changes = refuse_once
    reading = Reading(world)
    world.ready()
    eventually(lambda: reading.saw(ChangeKind.READY))
    assert refused.is_set()
    reading.reader.stop()


def test_it_hands_over_what_happened(world):
    reading = Reading(world)
    world.ready()
    eventually(lambda: reading.saw(ChangeKind.READY))
    assert reading.health.check().ok
    reading.reader.stop()


def test_it_says_when_what_it_has_read_is_gone(world):
    world.ready()
    saved = world.backend.save()
    reading = Reading(world)
    world.running()
    eventually(lambda: reading.saw(ChangeKind.TAKEN))
    world.backend.rollback(saved)
    world.backend.advance(5)
    world.ready()
    eventually(lambda: reading.saw(ChangeKind.GONE))
    reading.reader.stop()


def test_what_nobody_has_thought_of_is_seen_and_tried_again(world, caplog):
    read, failed, go_on = world.ledger.changes, threading.Event(), threading.Event()

    def fail(*arguments, **named):
        if failed.is_set():
            go_on.wait(10)
            return read(*arguments, **named)
        failed.set()
        raise ValueError(SECRET)

    world.ledger.changes = fail
    reading = Reading(world)
    eventually(lambda: not reading.health.check().ok and failed.is_set())
    eventually(lambda: "ValueError" in reading.health.check().detail)
    go_on.set()
    world.ready()
    eventually(lambda: reading.saw(ChangeKind.READY) and reading.health.check().ok)
    reading.reader.stop()
    assert "ValueError" in caplog.text
    assert SECRET not in caplog.text


def test_a_reader_that_cannot_go_on_ends_the_loop(world, monkeypatch):
    monkeypatch.setattr(bridge.change_log, "RETRY_S", 0.001)

    def fail(*_, **__):
        raise ValueError(SECRET)

    world.ledger.changes = fail
    reading = Reading(world)
    with pytest.raises(LedgerError, match="cannot be read: ValueError"):
        eventually(lambda: reading.take() is not None)
    assert "ValueError" in reading.health.check().detail
    reading.reader.stop()


def test_while_the_loop_is_behind_no_more_is_read(world, monkeypatch):
    monkeypatch.setattr(bridge.change_log, "MOST_CHANGES", 2)
    monkeypatch.setattr(bridge.change_log, "RETRY_S", 0.001)
    read, looks = world.ledger.changes, []
    world.ledger.changes = lambda epoch, cursor, *_, **__: read(epoch, cursor, 1, 1)
    reading = Reading(world)
    report = reading.health.report
    reading.health.report = lambda **state: (looks.append(1), report(**state))
    for _ in range(6):
        world.ready()
    eventually(lambda: reading.inbox.qsize() == 2)
    looked = len(looks)
    eventually(lambda: len(looks) >= looked + 5)
    assert reading.inbox.qsize() == 2
    eventually(lambda: reading.saw(ChangeKind.READY) and len(reading.kinds) == 6)
    reading.reader.stop()
