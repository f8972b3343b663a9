"""Harm for child processes whose PYTHONPATH begins here: no product code knows of it.

- Poison: a worker or its child that parses the marked payload dies of it.
- `HARM_CLOCK`: a file with the seconds by which this process's wall clock is wrong; it
  may change at any time. librdkafka's own clock, in C, stays right.
- `HARM_NO_ROOM`: no file can be written, as on a full disk.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import orjson

MARK = b"kills its reader"
LOOK_EVERY_S = 0.1


def poison() -> None:
    """Make `json.loads` deadly, and `orjson.loads`, which is tried first."""
    for parser in (json, orjson):
        parser.loads = deadly(parser.loads)


def deadly(loads):
    """Return the same function, but it ends the process where it reads the mark."""

    def loads_or_dies(text, *args, **kwargs):
        data = text if isinstance(text, bytes) else str(text).encode()
        if MARK in data:
            os._exit(9)
        return loads(text, *args, **kwargs)

    return loads_or_dies


def skew(path: Path) -> None:
    """Shift `time.time` and `time.time_ns` by what stands in the file."""
    right, right_ns, monotonic = time.time, time.time_ns, time.monotonic
    known = [0.0, 0.0]

    def wrong_by_s() -> float:
        now_s = monotonic()
        if now_s >= known[0]:
            text = path.read_text() if path.exists() else ""
            known[:] = now_s + LOOK_EVERY_S, float(text or known[1])
        return known[1]

    time.time = lambda: right() + wrong_by_s()
    time.time_ns = lambda: right_ns() + int(wrong_by_s() * 1e9)


if any("celery" in word or "suspect_child" in word for word in sys.orig_argv):
    poison()
if clock := os.environ.get("HARM_CLOCK"):
    skew(Path(clock))
if os.environ.get("HARM_NO_ROOM"):
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    )
