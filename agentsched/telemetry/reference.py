"""Writes the pages that say what metrics and log events there are.

`python -m agentsched.telemetry.reference docs/reference` after a change of either; a
test compares.
"""

import logging
import sys
from pathlib import Path

from agentsched.telemetry.events import EVENTS
from agentsched.telemetry.fields import FIELDS
from agentsched.telemetry.metrics import LABELS, METRICS, Metric

METRICS_HEAD = """\
# Metrics

<!-- Made from agentsched/telemetry/metrics.py by
     `python -m agentsched.telemetry.reference docs/reference`; do not edit. -->

Every bridge and every worker process serves its own numbers at `/metrics`
([how to scrape them and what to alert on](../how-to/monitor.md)). Beside these there
are Prometheus's usual `process_*` metrics. A histogram has the series `_bucket`,
`_sum` and `_count`.

No label holds an id. A metric has at most 1,000 sets of label values; what comes
beyond is counted under `other`.
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
    parts = [METRICS_HEAD, "\n## All metrics\n\n"]
    parts.append(
        "| metric | type | of | labels | what it says |\n|---|---|---|---|---|\n"
    )
    parts += [_metric_row(metric) for metric in METRICS]
    parts.append("\n## Labels\n\n| label | values |\n|---|---|\n")
    parts += [f"| `{name}` | {says} |\n" for name, says in LABELS.items()]
    parts.append("\n## Buckets\n\n| histogram | upper bounds |\n|---|---|\n")
    parts += [
        f"| `{metric.name}` | {', '.join(f'{bound:g}' for bound in metric.buckets)} |\n"
        for metric in METRICS
        if metric.buckets
    ]
    return "".join(parts)


def logs_page() -> str:
    """Return docs/reference/logs.md."""
    parts = [LOGS_HEAD, "\n## All events\n\n"]
    parts.append("| event | level | fields | what it says |\n|---|---|---|---|\n")
    parts += [
        f"| `{event.name}` | {logging.getLevelName(event.level).lower()} |"
        f" {_quoted(event.fields)} | {event.says} |\n"
        for event in EVENTS
    ]
    parts.append("\n## Fields\n\n| field | meaning |\n|---|---|\n")
    parts += [f"| `{name}` | {says} |\n" for name, says in FIELDS.items()]
    return "".join(parts)


def _metric_row(metric: Metric) -> str:
    return (
        f"| `{metric.name}` | {metric.kind} | {', '.join(metric.processes)} |"
        f" {_quoted(metric.labels)} | {metric.says} |\n"
    )


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main(folder: str) -> None:
    """Write both pages into a folder."""
    Path(folder, "metrics.md").write_text(metrics_page(), "utf-8")
    Path(folder, "logs.md").write_text(logs_page(), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
