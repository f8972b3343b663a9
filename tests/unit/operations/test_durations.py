"""Durations in words."""

import pytest

from agentsched.operations.durations import span


@pytest.mark.parametrize(
    ("duration_ms", "words"),
    [
        (-5, "0.0 s"),
        (0, "0.0 s"),
        (420, "0.4 s"),
        (9_990, "10.0 s"),
        (41_000, "41 s"),
        (60_000, "1 min"),
        (200_000, "3 min 20 s"),
        (3_600_000, "1 h"),
        (7_500_000, "2 h 5 min"),
        (97_200_000, "1 d 3 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(duration_ms, words):
    assert span(duration_ms) == words
