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
from agentsched.telemetry.handlers import LineFile, LineStream
from agentsched.wire.doorbell import Doorbell
from agentsched.wire.request_facts import RequestFacts

MAX_VALUE_CHARACTERS = 600
"""Longer than any id that a request may have (512)."""
MAX_MESSAGE_CHARACTERS = 4_000
MAX_WHERE_LINES = 20
MAX_WHERE_CHARACTERS = 2_000
"""Of a traceback: some ten calls, with the code of each."""

CHATTY = ("aiohttp", "asyncio", "httpcore", "httpx", "kombu", "urllib3")
"""What these log below WARNING includes headers and bodies: it is never written."""
REPEATING = ("celery.worker.strategy", "celery.app.trace")
"""Two lines for each task, which our own events tell better; written at DEBUG only."""

PLAIN = re.compile(r"[\w.,:/@+*=-]+")
PYTHON_NAMES = {"class": "cls"}
"""Fields whose name is a keyword: what `say` calls them."""

logger = logging.getLogger("agentsched.events")
_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


def say(event: LogEvent, **fields: object) -> None:
    """Log an event; cheap when its level is off.

    Args:
        event: what happened.
        fields: its values, by the names that it declares (`cls` for `class`); a None or
            an undeclared one is left out.
    """
    if logger.isEnabledFor(event.level):
        entry = LogEntry(event, fields)
        # Not `log()`: it would look up the caller, which an event's name replaces.
        record = logging.LogRecord(logger.name, event.level, "", 0, entry, None, None)
        logger.handle(record)


def request_fields(named: RequestFacts | Doorbell) -> dict[str, object]:
    """Return what names a request, as `say` wants it."""
    return {
        "correlation_id": named.correlation_id,
        "agent_id": named.agent_id,
        "cls": named.cls,
    }


def place_fields(facts: RequestFacts) -> dict[str, object]:
    """Return what names a request, and where its record stands."""
    place = {name: getattr(facts, name) for name in ("topic", "partition", "offset")}
    return request_fields(facts) | place


def doorbell_fields(doorbell: Doorbell) -> dict[str, object]:
    """Return what names a request, and the model that its doorbell is for."""
    return request_fields(doorbell) | {"model": doorbell.model}


class LogEntry:
    """One event with its values: the message of a log record."""

    __slots__ = ("_fields", "event")

    def __init__(self, event: LogEvent, fields: Mapping[str, object]) -> None:
        self.event = event
        self._fields = fields

    def values(self) -> dict[str, object]:
        """Return the declared fields that have a value, in their order."""
        given = self._fields.get
        return {
            name: value if name == "where" else _short(value)
            for name in self.event.fields
            if (value := given(PYTHON_NAMES.get(name, name))) is not None
        }

    def __str__(self) -> str:
        pairs = [f"{name}={_readable(value)}" for name, value in self.values().items()]
        return " ".join([self.event.name, *pairs])


class JsonLines(logging.Formatter):
    """One JSON object a line.

    Args:
        process: the kind of process: `bridge` or `worker`.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = {"process": process, "pid": os.getpid()}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        if isinstance(record.msg, LogEntry):
            said = {"event": record.msg.event.name, **record.msg.values()}
        else:
            said = {"event": "log", "logger": record.name, "message": _message(record)}
        line = {
            "time": f"{_utc(int(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            **self._process,
            **said,
            **_exception(record),
        }
        return _encode(line)


class TextLines(logging.Formatter):
    """One line to read: time, level, event, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        text = _message(record)
        if not isinstance(record.msg, LogEntry):
            text = f"{record.name}: {text}"
        if broke := _exception(record):
            detail = f": {broke['detail']}" if "detail" in broke else ""
            text += f" ({broke['error']}{detail})\n{broke['where']}"
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
    """Return the lines of code that an exception passed: files and code, no values.

    As many of the last ones as there is room for: the very last is the one that raised.
    """
    lines = traceback.format_tb(trace, limit=-MAX_WHERE_LINES)
    while len(lines) > 1 and sum(map(len, lines)) > MAX_WHERE_CHARACTERS:
        del lines[0]
    return "".join(lines).rstrip()[:MAX_WHERE_CHARACTERS]


def _message(record: logging.LogRecord) -> str:
    return record.getMessage()[:MAX_MESSAGE_CHARACTERS]


@lru_cache(maxsize=4)
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _exception(record: logging.LogRecord) -> dict[str, str]:
    """Return what may be told of a record's exception; empty where it has none."""
    if not record.exc_info or not record.exc_info[0]:
        return {}
    kind, error, trace = record.exc_info
    refused = refusal(error)
    detail = {"detail": f"Redis refused: {refused}"} if refused else {}
    return {"error": kind.__name__} | detail | {"where": where(trace)}


def _short(value: object) -> object:
    if isinstance(value, str):
        return value[:MAX_VALUE_CHARACTERS]
    return round(value, 3) if isinstance(value, float) else value


def _readable(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value)) or "-"
    is_plain = not isinstance(value, str) or PLAIN.fullmatch(value)
    return str(value) if is_plain else json.dumps(value)
