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
        self.queue.removed("s")


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
    assert len(shelf.queue._heaps["s"]) <= most


SOURCES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=200)


@given(SOURCES)
def test_the_best_of_several_sources_comes_first_and_a_source_goes_at_once(moves):
    places = {}
    queue = PlaceQueue(lambda place: place if places.get(place[2:]) is place else None)
    for number, what in moves:
        source = f"s{number % 3}"
        key = (number, "k", source)
        if what == 0:
            queue.drop(source)
            places = {at: place for at, place in places.items() if at[2] != source}
        elif what == 1 and key in places:
            del places[key]
            queue.removed(source)
        elif what > 1 and key not in places:
            places[key] = (what, 0, *key)
            queue.add(places[key])
        assert queue.best() == min(places.values(), default=None)
        assert len(queue) == len(places)


def test_what_comes_and_goes_in_front_of_others_leaves_nothing_behind():
    shelf = Shelf()
    shelf.add(0, deadline_ms=9)
    for number in range(1, 1_000):
        shelf.add(number)
        assert shelf.queue.best() == number
        shelf.remove(number)
    assert len(shelf.queue._heads) <= 2 + STALE_LEAST
