"""When a process that died is started again."""

import pytest

from agentsched.embedded.restarts import LONGEST_PAUSE_S, STEADY_S, Restarts


@pytest.fixture
def restarts():
    return Restarts()


def die_and_start(restarts, now_s):
    """Returns when it was started."""
    pause_s = restarts.noticed("it", now_s)
    assert restarts.due("it", now_s + pause_s)
    return now_s + pause_s


def test_a_death_is_told_once(restarts):
    assert restarts.noticed("it", 100.0) == 0.5
    assert restarts.noticed("it", 100.1) is None


def test_it_is_not_due_before_its_pause_is_over(restarts):
    restarts.noticed("it", 100.0)
    assert not restarts.due("it", 100.4)
    assert restarts.due("it", 100.5)


def test_it_is_started_once(restarts):
    die_and_start(restarts, 100.0)
    assert not restarts.due("it", 200.0)


def test_the_pause_doubles_up_to_a_bound(restarts):
    now_s, pauses = 100.0, []
    for _ in range(9):
        pauses.append(restarts.noticed("it", now_s))
        now_s += pauses[-1]
        assert restarts.due("it", now_s)
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_who_ran_for_long_begins_anew(restarts):
    started_s = die_and_start(restarts, die_and_start(restarts, 100.0))
    assert restarts.noticed("it", started_s + STEADY_S + 1) == 0.5


def test_names_do_not_share_a_pause(restarts):
    die_and_start(restarts, 100.0)
    assert restarts.noticed("other", 100.0) == 0.5


def test_what_never_died_is_not_due(restarts):
    assert not restarts.due("it", 100.0)
