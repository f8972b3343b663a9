"""The order of requests, and the queue that keeps it."""

from random import Random

from agentsched.scheduling.order import CHUNK, RankedQueue, order_of, rank
from tests.support.requests import facts


def test_a_more_urgent_class_stands_before_an_earlier_deadline():
    high = facts("h", cls="high", deadline_ms=9_000_000)
    low = facts("l", cls="low", deadline_ms=2_000_000)
    assert rank(high) < rank(low)


def test_within_a_class_the_earlier_deadline_stands_first():
    assert rank(facts("b", deadline_ms=5)) < rank(facts("a", deadline_ms=6))


def test_with_equal_deadlines_the_earlier_arrival_stands_first():
    assert rank(facts("b", arrival_ms=5)) < rank(facts("a", arrival_ms=6))


def test_the_queue_yields_the_best_first():
    queue = RankedQueue()
    places = [rank(facts(key, cls=cls)) for key, cls in zip("lhm", LHM, strict=True)]
    for place in places:
        queue.add(place)
    assert [place[4] for place in queue] == ["h", "m", "l"]
    assert queue.best() == places[1]


LHM = ("low", "high", "medium")


def test_a_discarded_rank_never_comes_up():
    queue = RankedQueue()
    queue.add(rank(facts("a")))
    queue.discard(rank(facts("a")))
    queue.discard(rank(facts("a")))  # again: nothing
    assert (queue.best(), len(queue), list(queue)) == (None, 0, [])


def test_what_is_not_queued_cannot_be_discarded():
    queue = RankedQueue()
    queue.add(rank(facts("a", deadline_ms=5)))
    for deadline_ms in (4, 6):
        queue.discard(rank(facts("b", deadline_ms=deadline_ms)))
    assert len(queue) == 1


def test_a_long_queue_keeps_its_order_whatever_comes_and_goes():
    numbers, random = list(range(20 * CHUNK)), Random(5)
    random.shuffle(numbers)
    queue, queued = RankedQueue(), set()
    for number in numbers:
        queue.add(rank(facts("k", deadline_ms=number)))
        queued.add(number)
        if number % 3 == 0:
            gone = random.choice(tuple(queued)) if number % 99 == 0 else number
            queue.discard(rank(facts("k", deadline_ms=gone)))
            queued.discard(gone)
    assert [place[1] for place in queue] == sorted(queued)
    assert len(queue) == len(queued)


def test_the_number_of_a_rank_orders_as_the_rank_does():
    high = rank(facts("h", cls="high", deadline_ms=9_000_000))
    low, later = (rank(facts("l", cls="low", deadline_ms=ms)) for ms in (7, 8))
    assert order_of(high) < order_of(low) < order_of(later)


def test_what_is_owed_stands_before_all_others():
    high = rank(facts("h", cls="high", deadline_ms=0))
    low = rank(facts("l", cls="low", deadline_ms=9_000_000))
    assert order_of(low, owed=True) < order_of(high)


def test_the_number_of_a_rank_is_one_that_a_script_keeps_exactly():
    largest = rank(facts("l", cls="low", deadline_ms=2**60))
    assert order_of(largest) < 2**53
    assert order_of(rank(facts("l", cls="high", deadline_ms=-5))) >= 0
