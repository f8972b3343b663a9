"""The order of requests, and the queue that keeps it."""

from agentsched.scheduling.order import RankedQueue, rank
from tests.support.requests import facts


def test_a_more_urgent_class_stands_before_an_earlier_deadline():
    high = facts("h", cls="high", deadline_ms=9_000_000)
    low = facts("l", cls="low", deadline_ms=2_000_000)
    assert rank(high) < rank(low)


def test_within_a_class_the_earlier_deadline_stands_first():
    assert rank(facts("b", deadline_ms=5)) < rank(facts("a", deadline_ms=6))


def test_with_equal_deadlines_the_earlier_arrival_stands_first():
    assert rank(facts("b", arrival_ms=5)) < rank(facts("a", arrival_ms=6))


def test_the_queue_gives_the_best_first():
    queue: RankedQueue[str] = RankedQueue()
    for key, cls in (("l", "low"), ("h", "high"), ("m", "medium")):
        queue.add(key, rank(facts(key, cls=cls)))
    order = []
    while (best := queue.best()) is not None:
        order.append(best)
        queue.discard(best)
    assert order == ["h", "m", "l"]


def test_a_discarded_item_never_comes_up():
    queue: RankedQueue[str] = RankedQueue()
    queue.add("a", rank(facts("a")))
    queue.discard("a")
    assert (queue.best(), len(queue)) == (None, 0)


def test_an_item_that_was_moved_stands_at_its_new_place_only():
    queue: RankedQueue[str] = RankedQueue()
    queue.add("a", rank(facts("a", cls="high")))
    queue.add("b", rank(facts("b", cls="medium")))
    queue.add("a", rank(facts("a", cls="low")))
    assert queue.best() == "b"
    queue.discard("b")
    assert queue.best() == "a"


def test_discarded_items_do_not_stay_in_memory():
    queue: RankedQueue[str] = RankedQueue()
    for number in range(1_000):
        queue.add(f"k{number}", rank(facts(f"k{number}")))
        queue.discard(f"k{number}")
    assert len(queue._heap) < 100
