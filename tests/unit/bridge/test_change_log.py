"""The change reader: it hands over what happened, also that the log was put back."""

import threading

import pytest

from agentsched.errors import NewerFormat
from agentsched.ledger.values import ChangeKind
from bridge.change_log import ChangeReader
from tests.support.ledgers import InMemory, World
from tests.support.waiting import eventually


class Reading:
    """A reader from the beginning of an epoch on, and what it delivered."""

    def __init__(self, world: World):
        self._lock = threading.Lock()
        self._kinds = []
        self.reader = ChangeReader(world.ledger, self._take)
        self.reader.start(world.epoch, world.cursor())

    def _take(self, epoch, changes):
        with self._lock:
            self._kinds += [change.kind for change in changes]

    def saw(self, kind: ChangeKind) -> bool:
        with self._lock:
            return kind in self._kinds


@pytest.fixture
def world() -> World:
    return World(InMemory())


def test_it_goes_on_after_what_it_could_not_read(world):
    read, refused = world.ledger.changes, threading.Event()

    def refuse_once(*arguments):
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
    reading.reader.stop()


def test_it_says_when_what_it_has_read_is_gone(world):
    world.ready()
    saved = world.backend.save()
    reading = Reading(world)
    world.rung()
    eventually(lambda: reading.saw(ChangeKind.TAKEN))
    world.backend.rollback(saved)
    world.backend.advance(5)
    world.ready()
    eventually(lambda: reading.saw(ChangeKind.GONE))
    reading.reader.stop()
