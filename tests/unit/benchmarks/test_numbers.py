"""The suite's statistics, on cases whose answers are known."""

import pytest

from benchmarks.suite.numbers import (
    Call,
    Summary,
    begun_before_a_waiting,
    flat,
    most_at_once,
    percentile,
    steady_rate_per_s,
    summarise,
    utilisation_ratio,
)

S = 1_000_000_000
MS = S // 1000


def back_to_back(slots, rounds, call_ms=200, gap_ms=0):
    """Calls of slots that are full but for a gap after each call."""
    return [
        Call(
            f"{slot}-{n}",
            n * (call_ms + gap_ms) * MS + slot,
            (n * (call_ms + gap_ms) + call_ms) * MS + slot,
        )
        for slot in range(slots)
        for n in range(rounds)
    ]


def test_a_percentile_lies_between_the_two_nearest_values():
    assert percentile([4, 1, 3, 2], 50) == 2.5
    assert percentile([1, 2, 3], 100) == 3
    assert percentile([7], 99) == 7


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1], 101), ([1], -1)])
def test_there_is_no_percentile_of_nothing(values, percent):
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, percent)


def test_full_slots_are_used_wholly():
    assert utilisation_ratio(back_to_back(4, 50), 4) == pytest.approx(1, abs=0.001)


def test_a_gap_after_each_call_is_missing():
    calls = back_to_back(4, 100, call_ms=90, gap_ms=10)
    assert utilisation_ratio(calls, 4) == pytest.approx(0.9, abs=0.01)


def test_slots_that_nobody_uses_count():
    assert utilisation_ratio(back_to_back(4, 50), 8) == pytest.approx(0.5, abs=0.001)


def test_the_ramp_of_a_run_does_not_count():
    late = [Call("late", 60 * S, 61 * S)]
    calls = back_to_back(4, 50) + late
    assert utilisation_ratio(calls, 4) == pytest.approx(1, abs=0.05)


def test_a_call_without_an_end_is_busy_until_the_end():
    calls = [*back_to_back(1, 99), Call("x", 0, 0)]
    assert utilisation_ratio(calls, 2) == pytest.approx(1, abs=0.001)


def test_a_rate_is_that_of_the_steady_part():
    steady = [n * 10 * MS for n in range(1000)]
    assert steady_rate_per_s(steady) == pytest.approx(100, rel=0.01)
    straggler = [steady[-1] + 60 * S]
    assert steady_rate_per_s(steady + straggler) == pytest.approx(100, rel=0.01)


def test_calls_at_once_are_counted_by_their_edges():
    assert most_at_once(back_to_back(3, 10)) == 3
    one_after_the_other = [Call("a", 0, 5), Call("b", 5, 9)]
    assert most_at_once(one_after_the_other) == 1
    assert most_at_once([]) == 0


def test_a_low_start_counts_only_while_a_high_one_waits_beyond_the_grace():
    high = [(1000, 1500)]
    starts = [900, 1050, 1101, 1499, 1500, 1600]
    assert begun_before_a_waiting(starts, high, 100) == 2


def test_a_low_start_counts_once_however_many_wait():
    assert begun_before_a_waiting([50], [(0, 90), (0, 95)], 10) == 1


def test_a_summary_has_median_and_extremes():
    assert summarise([3, 1, 2]) == Summary(2, 1, 3, 3)
    assert summarise([3, 1, 2]).spread_ratio == 1
    assert summarise([0]).spread_ratio == 0


def test_nested_figures_are_found_by_their_path():
    assert flat({"a": 1, "cpu_ms": {"worker": 0.5}, "text": "x"}) == {
        "a": 1,
        "cpu_ms.worker": 0.5,
    }
