"""A queue of places gives its requests in order, and forgets those that were removed."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.places import STALE_LEAST, STALE_RATIO, PlaceQueue

MOVES = st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=200)


class Shelf:
    """Items by number, each queued with its latest place."""

    def __init__(self):
        self.places = {}
        self.queue = PlaceQueue(self.find)

    def find(self, place):
        return place[2] if self.places.get(place[2]) is place else None

    def add(self, number, deadline_ms=0):
        self.places[number] = place = (deadline_ms, 0, number, "k", "s")
        self.queue.add(place)

    def remove(self, number):
        del self.places[number]
        self.queue.removed()


@given(MOVES)
def test_it_holds_what_was_added_and_not_removed(moves):
    shelf = Shelf()
    for number, adds in moves:
        if adds and number not in shelf.places:
            shelf.add(number, deadline_ms=number % 3)
        elif not adds and number in shelf.places:
            shelf.remove(number)
    ordered = sorted(shelf.places.values())
    assert len(shelf.queue) == len(ordered)
    assert sorted(shelf.queue) == sorted(shelf.places)
    assert shelf.queue.best() == (ordered[0][2] if ordered else None)
    for before, place in enumerate(ordered):
        assert shelf.queue.count_before(place) == before


def test_what_was_removed_takes_little_memory():
    shelf = Shelf()
    for number in range(10_000):
        shelf.add(number)
    for number in range(9_000, 0, -1):
        shelf.remove(number)
    most = (1 + STALE_RATIO) * len(shelf.places) + STALE_LEAST
    assert len(shelf.queue._heap) <= most
