"""Log lines: what is in them, what never is, and how a process sets them up."""

import contextlib
import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentsched.config.settings import LoggingSettings
from agentsched.telemetry.events import (
    BUG,
    DEAD_LETTERED,
    REQUEST_ADMITTED,
    REQUEST_COMPLETED,
)
from agentsched.telemetry.handlers import LineStream, lost_lines
from agentsched.telemetry.logs import JsonLines, TextLines, configure, say, where
from agentsched.telemetry.meters import Meters
from agentsched.telemetry.metrics import LOG_LINES_LOST

QUIET = ("aiohttp", "asyncio", "httpcore", "httpx", "kombu", "urllib3")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging belongs to the test run: it gets back what a test changed."""
    root, ours = logging.getLogger(), logging.getLogger("agentsched")
    before = (root.handlers[:], root.level, ours.level)
    names = ("raiseExceptions", "logThreads", "logProcesses", "logMultiprocessing")
    flags = {name: getattr(logging, name) for name in names}
    yield
    for name, flag in flags.items():
        setattr(logging, name, flag)
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


class Written:
    """What was written to stderr so far."""

    def __init__(self, capsys) -> None:
        self._capsys, self._text = capsys, ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def stderr(capsys) -> Written:
    return Written(capsys)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: Written) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(depth: int) -> None:
    if not depth:
        raise KeyError("secret")  # the raising line
    fail_deeper(depth)


def fail_deeper(depth: int) -> None:
    fail(depth - 1)  # by way of two: Python sums up what only calls itself


@pytest.mark.parametrize("depth", [0, 5, 100])
@pytest.mark.parametrize("form", ["json", "text"])
def test_a_bug_says_the_line_that_raised_however_deep_it_is(
    stderr: Written, depth: int, form: str
) -> None:
    configure(LoggingSettings(format=form), "bridge")
    with pytest.raises(KeyError) as caught:
        fail(depth)

    say(BUG, error="KeyError", where=where(caught.tb))

    written = stderr.getvalue()
    assert "# the raising line" in written
    assert len(written) < 3_000


def test_an_event_is_one_json_line_with_its_fields(stderr) -> None:
    configure(LoggingSettings(), "worker")
    say(
        REQUEST_COMPLETED,
        correlation_id='a "b"\nc',
        agent_id="ä",
        cls="high",
        model="gpt-4",
        attempt=1,
        model_s=0.12345,
    )
    (line,) = lines(stderr)
    assert line["event"] == "request_completed"
    assert (line["level"], line["process"]) == ("info", "worker")
    assert (line["correlation_id"], line["agent_id"]) == ('a "b"\nc', "ä")
    assert (line["class"], line["attempt"], line["model_s"]) == ("high", 1, 0.123)
    assert line["time"].endswith("Z")


def test_what_an_event_does_not_declare_is_not_written(stderr) -> None:
    configure(LoggingSettings(), "worker")
    say(REQUEST_COMPLETED, correlation_id="c", content="the-secret", prompt="too")
    assert "secret" not in stderr.getvalue()
    assert set(lines(stderr)[0]) == {
        *("time", "level", "process", "pid", "event", "correlation_id")
    }


def test_a_very_long_value_is_cut(stderr) -> None:
    configure(LoggingSettings(), "bridge")
    say(DEAD_LETTERED, detail="x" * 5000)
    assert len(lines(stderr)[0]["detail"]) == 600


def test_an_event_below_the_level_is_not_written(stderr) -> None:
    configure(LoggingSettings(level="info"), "bridge")
    say(REQUEST_ADMITTED, correlation_id="c")
    assert stderr.getvalue() == ""


def test_the_level_debug_has_every_change_of_a_state(stderr) -> None:
    configure(LoggingSettings(level="debug"), "bridge")
    say(REQUEST_ADMITTED, correlation_id="c")
    assert lines(stderr)[0]["event"] == "request_admitted"


def test_a_level_of_the_command_line_wins(stderr) -> None:
    configure(LoggingSettings(level="debug"), "worker", level=logging.WARNING)
    say(REQUEST_COMPLETED, correlation_id="c")
    assert stderr.getvalue() == ""


def test_on_a_terminal_lines_are_for_people(monkeypatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    configure(LoggingSettings(), "bridge")
    say(REQUEST_COMPLETED, correlation_id="a b", model="gpt-4")
    line = stream.getvalue()
    assert line.endswith('INFO    request_completed correlation_id="a b" model=gpt-4\n')


def test_a_setting_chooses_text_elsewhere_too(stderr) -> None:
    configure(LoggingSettings(format="text"), "bridge")
    say(REQUEST_COMPLETED, correlation_id="c")
    assert "request_completed correlation_id=c" in stderr.getvalue()
    assert not stderr.getvalue().startswith("{")


def test_what_a_library_logs_is_a_line_of_the_same_kind(stderr) -> None:
    configure(LoggingSettings(), "worker")
    logging.getLogger("celery.apps.worker").info("%s ready.", "w1")
    (line,) = lines(stderr)
    assert (line["event"], line["logger"]) == ("log", "celery.apps.worker")
    assert line["message"] == "w1 ready."


def test_libraries_do_not_chat_at_debug_level(stderr) -> None:
    configure(LoggingSettings(level="debug"), "worker")
    for name in (*QUIET, "celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).info("chat")
    logging.getLogger("celery").debug("chat")
    assert stderr.getvalue() == ""


def test_bodies_stay_out_also_where_the_command_line_asks_for_debug(stderr) -> None:
    configure(LoggingSettings(), "worker", level=logging.DEBUG)
    for name in QUIET:
        logging.getLogger(name).debug("a body")
    logging.getLogger("celery").debug("a task")
    assert [line["message"] for line in lines(stderr)] == ["a task"]


def test_setting_up_twice_does_not_double_the_lines(stderr) -> None:
    configure(LoggingSettings(), "worker")
    configure(LoggingSettings(), "worker")
    say(REQUEST_COMPLETED, correlation_id="c")
    assert len(lines(stderr)) == 1


def test_a_file_gets_json_lines(tmp_path) -> None:
    file = tmp_path / "worker.log"
    configure(LoggingSettings(), "worker", file=str(file))
    say(REQUEST_COMPLETED, correlation_id="c")
    assert json.loads(file.read_text())["correlation_id"] == "c"
    logging.getLogger().handlers[0].close()


def test_a_line_without_room_is_counted_and_nothing_is_raised(monkeypatch) -> None:
    full = Path("/dev/full").open("w", buffering=1)  # noqa: SIM115  (its close fails)
    monkeypatch.setattr(sys, "stderr", full)
    configure(LoggingSettings(), "worker")
    meters = Meters("worker")
    meters.describe_process()
    before = meters.value(LOG_LINES_LOST)
    say(REQUEST_COMPLETED, correlation_id="c")
    assert meters.value(LOG_LINES_LOST) == before + 1
    with contextlib.suppress(OSError):
        full.close()


def test_lines_that_were_lost_before_anybody_counts_are_counted() -> None:
    LineStream().handleError(logging.makeLogRecord({}))
    meters = Meters("worker")
    meters.describe_process()
    lost = meters.value(LOG_LINES_LOST)
    assert lost >= 1
    lost_lines.inc()
    assert meters.value(LOG_LINES_LOST) == lost + 1


def test_a_file_that_cannot_be_made_again_costs_lines_only_until_it_can(
    tmp_path,
) -> None:
    folder, moved = tmp_path / "logs", tmp_path / "moved"
    folder.mkdir()
    configure(LoggingSettings(), "worker", file=str(folder / "worker.log"))
    meters = Meters("worker")
    meters.describe_process()
    before = meters.value(LOG_LINES_LOST)
    folder.rename(moved)
    for _ in range(2):
        say(REQUEST_COMPLETED, correlation_id="lost")
    assert meters.value(LOG_LINES_LOST) == before + 2
    folder.mkdir()
    say(REQUEST_COMPLETED, correlation_id="c")
    assert '"c"' in (folder / "worker.log").read_text()
    logging.getLogger().handlers[0].close()


@pytest.mark.parametrize("formatter", [JsonLines("worker"), TextLines()])
def test_the_text_of_an_exception_is_not_written(formatter) -> None:
    try:
        raise ValueError("the-secret-prompt")
    except ValueError:
        record = logging.LogRecord(
            "x", logging.ERROR, "", 0, "it broke", None, sys.exc_info()
        )
    line = formatter.format(record)
    assert "ValueError" in line
    assert "test_logs.py" in line
    assert "ValueError: the-secret-prompt" not in line


def test_another_handler_gets_a_readable_message(caplog) -> None:
    with caplog.at_level(logging.INFO, logger="agentsched.events"):
        say(BUG, error="KeyError", where="File x", correlation_id="c")
    assert caplog.messages == ['bug correlation_id=c error=KeyError where="File x"']
