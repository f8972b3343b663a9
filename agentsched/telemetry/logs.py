"""How a process logs: one line for one event, as JSON or as text; sets up `logging`.

It writes the declared fields of an event and nothing else, and never the text of an
exception, which may hold content of a request.
"""

import json
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType

from agentsched.config.settings import LoggingSettings
from agentsched.redis.refusals import refusal
from agentsched.telemetry.events import LogEvent
from agentsched.telemetry.fields import PYTHON_NAMES
from agentsched.telemetry.handlers import LineFile, LineStream

VALUE_MAX_CHARACTERS = 600
"""Longer than any id that a request may have (512)."""
MESSAGE_MAX_CHARACTERS = 4_000

CHATTY = ("aiohttp", "asyncio", "httpcore", "httpx", "kombu", "urllib3")
"""What these log below WARNING includes headers and bodies: it is never written."""
REPEATING = ("celery.worker.strategy", "celery.app.trace")
"""Two lines for each task, which our own events tell better; written at DEBUG only."""

PLAIN = re.compile(r"[\w.,:/@+*=-]+")

_log = logging.getLogger("agentsched.events")
_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


def say(event: LogEvent, **fields: object) -> None:
    """Log an event; cheap when its level is off.

    Args:
        event: what happened.
        fields: its values, by the names that it declares (`cls` for `class`); a None or
            an undeclared one is left out.
    """
    if _log.isEnabledFor(event.level):
        said = Said(event, fields)
        # Not `log()`: it would look up the caller, which an event's name replaces.
        _log.handle(logging.LogRecord(_log.name, event.level, "", 0, said, None, None))


class Said:
    """One event with its values: the message of a log record."""

    __slots__ = ("_fields", "event")

    def __init__(self, event: LogEvent, fields: Mapping[str, object]) -> None:
        self.event = event
        self._fields = fields

    def values(self) -> dict[str, object]:
        """Return the declared fields that have a value, in their order."""
        given = self._fields
        found: dict[str, object] = {}
        for name in self.event.fields:
            value = given.get(PYTHON_NAMES.get(name, name))
            if value is not None:
                found[name] = _short(value)
        return found

    def __str__(self) -> str:
        """As a line of text: for terminals, and for handlers of somebody else."""
        pairs = [f"{name}={_readable(value)}" for name, value in self.values().items()]
        return " ".join([self.event.name, *pairs])


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, process: str) -> None:
        """Name the kind of process: `bridge` or `worker`."""
        super().__init__()
        self._process = process
        self._pid = os.getpid()

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, object] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": self._pid,
        }
        if isinstance(record.msg, Said):
            line["event"] = record.msg.event.name
            line |= record.msg.values()
        else:
            line |= {"event": "log", "logger": record.name, "message": _message(record)}
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
            if refused := refusal(record.exc_info[1]):
                line["detail"] = f"Redis refused: {refused}"
            line["where"] = where(record.exc_info[2])
        return _encode(line)


class TextLines(logging.Formatter):
    """One line to read: time, level, event, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        text = _message(record)
        if not isinstance(record.msg, Said):
            text = f"{record.name}: {text}"
        if record.exc_info and record.exc_info[0]:
            refused = refusal(record.exc_info[1])
            because = f": Redis refused: {refused}" if refused else ""
            name = record.exc_info[0].__name__
            text += f" ({name}{because})\n{where(record.exc_info[2])}"
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        return f"{clock}.{int(record.msecs):03d} {record.levelname:<7} {text}"


def configure(
    settings: LoggingSettings,
    process: str,
    *,
    level: int | None = None,
    file: str | None = None,
) -> None:
    """Set up logging for this whole process; what was set up before is replaced.

    Args:
        settings: the section `logging` of the configuration.
        process: `bridge` or `worker`.
        level: from the command line: wins over the settings, and libraries log at it,
            too. They log at INFO at the least otherwise.
        file: where to; None: stderr. Moved away, it is made again.
    """
    handler: logging.Handler = (
        LineFile(file, encoding="utf-8") if file else LineStream()
    )
    readable = settings.format == "text" or (
        settings.format == "auto" and not file and sys.stderr.isatty()
    )
    handler.setFormatter(TextLines() if readable else JsonLines(process))
    ours = logging.getLevelName(settings.level.upper()) if level is None else level
    libraries = max(ours, logging.INFO) if level is None else level
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(libraries)
    logging.getLogger("agentsched").setLevel(ours)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in REPEATING:
        quiet = logging.NOTSET if libraries <= logging.DEBUG else logging.WARNING
        logging.getLogger(name).setLevel(quiet)
    # What no line of ours has, and every record would be asked for.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # A full disk must not print records, with their arguments, to stderr.
    logging.raiseExceptions = False


def where(trace: TracebackType | None) -> str:
    """Return the lines of code that an exception passed: files and code, no values."""
    return "".join(traceback.format_tb(trace)).rstrip()


def _message(record: logging.LogRecord) -> str:
    return record.getMessage()[:MESSAGE_MAX_CHARACTERS]


def _utc(created_s: float) -> str:
    second = int(created_s)
    return f"{_utc_second(second)}.{int((created_s - second) * 1000):03d}Z"


@lru_cache(maxsize=4)
def _utc_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _short(value: object) -> object:
    if isinstance(value, str):
        return value[:VALUE_MAX_CHARACTERS]
    if isinstance(value, float):
        return round(value, 3)
    return value


def _readable(value: object) -> str:
    if isinstance(value, str):
        return value if PLAIN.fullmatch(value) else json.dumps(value)
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value)) or "-"
    return str(value)
