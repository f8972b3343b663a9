"""Of the lines that librdkafka repeats while Kafka is away, one in a while is written."""

import logging

import pytest

from agentsched.kafka.librdkafka import log
from agentsched.kafka.log_throttle import EVERY_S, MAX_KINDS, Repeats

LINE = "FAIL [agentsched#consumer-%d] 127.0.0.1:1: refused (after %dms in CONNECT)"


class Written:
    """A logger with the filter, and what got through."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._filter = Repeats(lambda: self.now_s)

    def write(self, text: str, *args: object) -> str | None:
        record = logging.LogRecord("x", logging.ERROR, "", 0, text, args, None)
        return record.getMessage() if self._filter.filter(record) else None


@pytest.fixture
def written() -> Written:
    return Written()


def test_a_line_that_differs_in_its_times_only_is_written_once(
    written: Written,
) -> None:
    assert written.write(LINE, 1, 5) == LINE % (1, 5)
    assert written.write(LINE, 2, 17) is None


def test_another_line_is_written(written: Written) -> None:
    written.write("127.0.0.1:1 refused")
    assert written.write("127.0.0.1:2 refused") == "127.0.0.1:2 refused"


def test_after_a_while_it_comes_again_with_the_number_of_those_dropped(
    written: Written,
) -> None:
    for _ in range(4):
        written.write(LINE, 1, 5)
    written.now_s = EVERY_S
    assert written.write(LINE, 1, 6) == f"{LINE % (1, 6)} (and 3 more like it)"
    written.now_s += EVERY_S
    assert written.write(LINE, 1, 6) == LINE % (1, 6)


def test_what_it_remembers_is_bounded(written: Written) -> None:
    for number in range(3 * MAX_KINDS):
        written.write(f"line {number}")
    assert len(written._filter._kinds) <= MAX_KINDS


def test_librdkafka_writes_through_it() -> None:
    assert any(isinstance(each, Repeats) for each in log.filters)
