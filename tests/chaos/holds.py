"""Who held which request when, as the logs of the workers say it; computes only."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

SKEW_S = 7200.0
"""By so much, either way, F20 makes a clock wrong: a run has to be shorter."""
BEFORE_S = 300.0
"""The first line of a log is at most so much older than the first request."""
TAKEN = "request_taken"
ENDS = frozenset(
    {
        "request_completed",
        "request_failed",
        "reply_stored",
        "request_put_back",
        "request_lost",
        "request_abandoned",
    }
)
WORKER_LOG = re.compile(r"(worker-.+)\.log")


@dataclass(frozen=True)
class Hold:
    """One take of one request, on the monotonic clock."""

    worker: str
    taken_s: float
    ended_s: float = inf
    """When its worker said how it ended; never: it could not."""
    how: str = ""


@dataclass(frozen=True)
class Death:
    """A process of a worker ended between its last line and the next one's first."""

    worker: str
    after_s: float
    before_s: float


@dataclass
class Held:
    """What the logs of all workers say together."""

    by_id: dict[str, list[Hold]] = field(default_factory=lambda: defaultdict(list))
    deaths: list[Death] = field(default_factory=list)


@dataclass(frozen=True)
class Line:
    """One line of a log."""

    at_s: float
    pid: int
    event: str
    id: str | None


def held_of(logs: Mapping[str, str], epoch_ms: float, begun_s: float) -> Held:
    """Read the logs of all workers.

    Args:
        logs: text by file name; others than workers' are left out.
        epoch_ms: the wall clock when the monotonic one was 0.
        begun_s: when the first request was sent.
    """
    held = Held()
    for name, text in sorted(logs.items()):
        if named := WORKER_LOG.fullmatch(name):
            _read(held, named[1], _lines(text, epoch_ms, begun_s))
    for holds in held.by_id.values():
        holds.sort(key=lambda hold: hold.taken_s)
    return held


def _read(held: Held, worker: str, lines: Iterator[Line]) -> None:
    taken: dict[str, float] = {}
    last: Line | None = None
    for line in lines:
        if last is not None and line.pid != last.pid:
            held.deaths.append(Death(worker, last.at_s, line.at_s))
        last = line
        if line.id is None:
            continue
        if line.event in ENDS and line.id in taken:
            hold = Hold(worker, taken.pop(line.id), line.at_s, line.event)
            held.by_id[line.id].append(hold)
        elif line.event == TAKEN:
            if line.id in taken:  # what became of that, it did not say
                held.by_id[line.id].append(Hold(worker, taken[line.id]))
            taken[line.id] = line.at_s
    for id_, at_s in taken.items():
        held.by_id[id_].append(Hold(worker, at_s))


def _lines(text: str, epoch_ms: float, begun_s: float) -> Iterator[Line]:
    """All whole lines of ours; a full disk leaves halves, with others behind them."""
    since_s = begun_s - BEFORE_S
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                said = json.loads(line)
                wall_s = datetime.fromisoformat(said["time"]).timestamp()
            except (ValueError, KeyError):
                continue
            at_s = since_s + (wall_s - epoch_ms / 1000 - since_s) % SKEW_S
            yield Line(at_s, said["pid"], said["event"], said.get("correlation_id"))
