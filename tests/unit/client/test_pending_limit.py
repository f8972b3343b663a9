"""Places for outstanding requests: bounded, in order, never lost."""

import pytest

from agentsched.client.pending_limit import Room


def opened(most=2, most_bytes=100):
    room = Room(most, most_bytes)
    room.open()
    return room


def test_nobody_gets_a_place_before_it_opens():
    room = Room(2, 100)
    place = room.take(1)
    assert not place.done()
    room.open()
    assert place.done()


def test_who_comes_when_all_places_are_taken_waits_for_one():
    room = opened(most=1)
    room.take(1)
    second = room.take(1)
    assert not second.done()
    room.leave()
    assert second.done()


def test_places_are_given_in_the_order_of_asking():
    room = opened(most=1)
    room.take(1)
    second, third = room.take(1), room.take(1)
    room.leave()
    assert (second.done(), third.done()) == (True, False)


def test_bytes_that_kafka_has_not_acknowledged_are_bounded_too():
    room = opened(most=10, most_bytes=100)
    room.take(60)
    second = room.take(60)
    assert not second.done()
    room.acknowledged(60)
    assert second.done()


def test_a_request_larger_than_the_bound_goes_alone():
    room = opened(most=10, most_bytes=100)
    large = room.take(500)
    after = room.take(1)
    assert (large.done(), after.done()) == (True, False)


def test_a_place_that_nobody_waits_for_any_longer_goes_to_the_next():
    room = opened(most=1)
    room.take(1)
    second, third = room.take(1), room.take(1)
    room.abandon(second, 1)
    room.leave()
    assert third.done()


def test_a_place_that_was_given_and_is_abandoned_is_free_again():
    room = opened(most=1)
    room.abandon(room.take(1), 1)
    assert room.take(1).done()


def test_abandoning_a_refused_place_frees_nothing():
    room = opened(most=1)
    room.take(1)
    second = room.take(1)
    room.refuse(lambda: OSError("no"))
    room.abandon(second, 1)
    assert not room.take(1).done()


def test_refused_callers_get_an_error_each_and_later_ones_wait():
    room = Room(1, 100)
    first, second = room.take(1), room.take(1)
    room.refuse(lambda: OSError("no"))
    assert first.exception() is not second.exception()
    assert not room.take(1).done()


def test_after_the_end_everybody_gets_its_error():
    room = opened(most=1)
    room.take(1)
    waiting = room.take(1)
    room.close(lambda: OSError("closed"))
    for place in (waiting, room.take(1)):
        with pytest.raises(OSError, match="closed"):
            place.result(0)
