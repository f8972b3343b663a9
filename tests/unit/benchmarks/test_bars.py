"""The bars of a run: reached or not, by the median or by every repetition."""

import pytest

from benchmarks.suite.bars import BARS, judge
from benchmarks.suite.numbers import summarise


def verdicts(figures):
    """Judge {(system, measure, slots): {figure: repetitions}}."""
    summaries = {
        (system, measure, slots, 1, 1): {n: summarise(v) for n, v in values.items()}
        for (system, measure, slots), values in figures.items()
    }
    return {each.bar.title: each for each in judge(summaries)}


def used(*ratios):
    return {("agentsched", "utilisation", 16): {"utilisation_ratio": ratios}}


def rates(ours, taskiq):
    return {
        ("agentsched", "throughput", 16): {"requests_per_s": [ours]},
        ("taskiq", "throughput", 16): {"requests_per_s": [taskiq]},
    }


@pytest.mark.parametrize(
    ("ratio", "floor", "goal"),
    [(0.969, False, False), (0.97, True, False), (0.98, True, True)],
)
def test_what_has_to_be_large_meets_floor_and_goal(ratio, floor, goal):
    found = verdicts(used(0.1, ratio, 1.0))["utilisation, 16 slots"]
    assert (found.meets_floor, found.meets_goal) == (floor, goal)


@pytest.mark.parametrize(
    ("ours", "floor", "goal"),
    [(990, False, False), (1000, True, False), (1600, True, True)],
)
def test_a_rival_is_that_of_the_same_run(ours, floor, goal):
    found = verdicts(rates(ours, 1000))["requests/s, of taskiq's"]
    assert found.reached == ours / 1000
    assert (found.meets_floor, found.meets_goal) == (floor, goal)


def test_what_has_to_be_small_must_not_be_larger():
    figures = {("agentsched", "throughput", 16): {"own_cpu_ms": [0.76]}}
    assert not verdicts(figures)["own CPU, ms a request"].meets_floor


def test_one_bad_repetition_is_enough_where_each_counts():
    figures = {("agentsched", "crash", 16): {"without_reply": [0, 0, 1]}}
    assert not verdicts(figures)["kill: without reply"].meets_floor


def test_what_was_not_measured_has_no_verdict():
    assert verdicts({}) == {}
    ours = rates(1000, 1000)
    del ours["taskiq", "throughput", 16]
    assert verdicts(ours) == {}


def test_a_goal_is_never_below_its_floor():
    for bar in BARS:
        assert bar.goal >= bar.floor if bar.at_least else bar.goal <= bar.floor
