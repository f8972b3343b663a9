"""The figures of `agentsched bench`, on requests whose times are known."""

import pytest

from agentsched.cli.bench_figures import Outcome, figures_of


def answered(due_s, took_s, queued_s=0.5, model_s=1.0):
    return Outcome(due_s, due_s + took_s, queued_s=queued_s, model_s=model_s)


def test_a_latency_has_three_parts():
    figures = figures_of([answered(0, 2.0) for _ in range(10)])
    assert figures.latency_s.p50 == pytest.approx(2.0)
    assert figures.queued_s.p50 == pytest.approx(0.5)
    assert figures.model_s.p99 == pytest.approx(1.0)
    assert figures.rest_s.max == pytest.approx(0.5)


def test_percentiles_are_those_of_the_values():
    latency = figures_of([answered(0, n) for n in range(1, 102)]).latency_s
    assert (latency.p50, latency.p95, latency.p99) == (51, 96, 100)
    assert latency.max == 101


def test_the_rate_is_over_the_whole_time_and_without_the_ends():
    outcomes = [answered(n / 10, 1.0) for n in range(100)]
    figures = figures_of([*outcomes, answered(0, 100.0)])
    assert figures.completed_per_s == pytest.approx(101 / 100)
    assert figures.steady_per_s == pytest.approx(10, rel=0.05)


def test_few_replies_have_no_steady_rate():
    assert figures_of([answered(0, 1.0)]).steady_per_s is None


def test_what_failed_is_counted_by_its_reason_and_has_no_latency():
    failed = [Outcome(0, 9, code=code) for code in ("EXPIRED", "EXPIRED", "X")]
    figures = figures_of([answered(0, 1.0), *failed])
    assert figures.failed == {"EXPIRED": 2, "X": 1}
    assert (figures.sent, figures.completed) == (4, 1)
    assert figures.latency_s.max == 1


def test_without_one_completed_request_there_are_no_durations():
    figures = figures_of([Outcome(0, 9, code="EXPIRED")])
    assert figures.latency_s is figures.queued_s is figures.rest_s is None
    assert figures.completed_per_s == 0
