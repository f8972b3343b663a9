"""When the requests of `agentsched bench` are due."""

from itertools import pairwise

import pytest

from agentsched.cli.bench_traffic import Traffic, due_times


def traffic(rate_per_s):
    return Traffic(20, rate_per_s, 100, {})


def test_at_a_rate_they_are_due_by_the_clock_however_late_the_sender_is():
    due = [due_s for _, due_s in due_times(traffic(500))]
    steps = [after - before for before, after in pairwise(due)]
    assert steps == pytest.approx([0.002] * 19, abs=1e-6)


def test_at_once_they_are_due_when_they_are_sent():
    due = list(due_times(traffic(0)))
    assert [number for number, _ in due] == list(range(1, 21))
    assert due[-1][1] - due[0][1] < 10
