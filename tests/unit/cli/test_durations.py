"""Times on the command line."""

from datetime import UTC, datetime, timedelta

import click
import pytest

from agentsched.cli.durations import Duration, Moment


def seconds(text):
    return Duration().convert(text, None, None)


def moment(text):
    return Moment().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("10m", 600), ("1.5h", 5400), ("7d", 604_800), ("5", 5), (2.5, 2.5)],
)
def test_a_duration_is_a_number_with_a_unit(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-5s", "5 weeks", "soon", "1e3"])
def test_what_is_no_duration_is_refused_with_examples(text):
    with pytest.raises(click.BadParameter, match="write 90s, 10m, 2h or 7d"):
        seconds(text)


def test_a_moment_is_a_duration_ago():
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert moment("1h") == pytest.approx(hour_ago.timestamp(), abs=30)


def test_a_moment_is_a_time_with_or_without_its_zone():
    assert (
        moment("2026-01-31T12:00+00:00")
        == datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
    )
    here = datetime(2026, 1, 31, 12).astimezone()
    assert moment("2026-01-31T12:00") == here.timestamp()


def test_what_is_no_moment_is_refused_with_examples():
    with pytest.raises(click.BadParameter, match="2026-01-31T12:00"):
        moment("yesterday")
