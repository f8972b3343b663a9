"""Writes the pages that say what metrics and log events there are.

`python -m agentsched.telemetry.reference docs/reference` after a change of either; a
test compares.
"""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from agentsched.telemetry.events import EVENTS, FIELDS
from agentsched.telemetry.metrics import LABELS, METRICS

METRICS_HEAD = """\
# Metrics

<!-- Made from agentsched/telemetry/metrics.py by
     `python -m agentsched.telemetry.reference docs/reference`; do not edit. -->

Every bridge and every worker process serves its own numbers at `/metrics`
([how to scrape them and what to alert on](../how-to/monitor.md)). Beside these there
are Prometheus's usual `process_*` metrics. A histogram has the series `_bucket`,
`_sum` and `_count`.

No label holds an id. Counters and histograms show every set of label values that the
configuration and the program know from the start, at 0. Beside these a metric has at most
1,000; what comes beyond is counted under `other`.
"""
LOGS_HEAD = """\
# Log events

<!-- Made from agentsched/telemetry/events.py by
     `python -m agentsched.telemetry.reference docs/reference`; do not edit. -->

Bridges and workers write one line for each event to stderr: text on a terminal, else
one JSON object a line. `logging.format` (`auto`, `json`, `text`) and `logging.level`
(`debug`, `info`, `warning`, `error`) of the configuration change that; `-v` of the
bridge and an explicit `-l` of the worker win over the level. Celery's own banner goes
to stdout; `celery -q` leaves it out.

```json
{"time":"2026-11-25T10:03:39.009Z","level":"info","process":"worker","pid":20527,\
"event":"request_completed","correlation_id":"42","agent_id":"planner","class":"high",\
"model":"gpt-4","attempt":1,"queued_s":0.594,"model_s":0.083,"total_s":0.686}
```

Every line has `time` (UTC), `level`, `process` (`bridge` or `worker`), `pid` and
`event`. An event has the fields that stand below and no others: no prompt, no answer
and no key can get into one. A field without a value is left out.

What libraries and rare paths log is the event `log` with `logger` and `message`. An
exception shows its class (`error`) and the lines of code that it passed (`where`),
never its text.
"""


def metrics_page() -> str:
    """Return docs/reference/metrics.md."""
    return (
        METRICS_HEAD
        + _table(
            "All metrics",
            ("metric", "type", "of", "labels", "what it says"),
            *(
                (
                    _code(m.name),
                    m.kind,
                    ", ".join(m.processes),
                    _code(*m.labels),
                    m.description,
                )
                for m in METRICS
            ),
        )
        + _table("Labels", ("label", "values"), *_named(LABELS))
        + _table(
            "Buckets",
            ("histogram", "upper bounds"),
            *(
                (_code(m.name), ", ".join(f"{bound:g}" for bound in m.buckets))
                for m in METRICS
                if m.buckets
            ),
        )
    )


def logs_page() -> str:
    """Return docs/reference/logs.md."""
    return (
        LOGS_HEAD
        + _table(
            "All events",
            ("event", "level", "fields", "what it says"),
            *(
                (
                    _code(event.name),
                    logging.getLevelName(event.level).lower(),
                    _code(*event.fields),
                    event.description,
                )
                for event in EVENTS
            ),
        )
        + _table("Fields", ("field", "meaning"), *_named(FIELDS))
    )


def _table(title: str, *rows: Sequence[str]) -> str:
    head, *body = (f"| {' | '.join(row)} |\n" for row in rows)
    return f"\n## {title}\n\n{head}{'|---' * len(rows[0])}|\n{''.join(body)}"


def _named(meanings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((_code(name), meaning) for name, meaning in meanings.items())


def _code(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main(folder: str) -> None:
    """Write both pages into a folder."""
    Path(folder, "metrics.md").write_text(metrics_page(), "utf-8")
    Path(folder, "logs.md").write_text(logs_page(), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
