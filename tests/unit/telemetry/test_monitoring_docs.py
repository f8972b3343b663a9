"""What the docs ask of Prometheus and of logs, held against what processes expose."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from agentsched.telemetry.events import EVENTS
from agentsched.telemetry.meters import Meters
from agentsched.telemetry.metrics import METRICS
from bridge.gauges import BridgeMeter
from tests.support.promql import grouping_labels, rated, selectors
from tests.unit.bridge.driver import Driver

ROOT = Path(__file__).parents[3]
PAGES = [*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"]
BY_PROMETHEUS = {"instance", "job"}
"""Labels that the scrape adds."""
NO_METRICS = {"agentsched_version"}
"""A header of records."""
MODELS, TOPICS = ["gpt-4", "llama3"], ["high_priority", "low_priority"]

Series = dict[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def exposed() -> Series:
    """Sample name -> labels of its series, as real processes show them before any work.

    Gauges are there once a bridge has measured itself: one does, with a backlog.
    """
    bridge, worker = Meters("bridge"), Meters("worker")
    bridge.initialize(MODELS, TOPICS)
    worker.initialize(MODELS)
    meter, driver = BridgeMeter(bridge), Driver()
    driver.own()
    driver.read(0, 1)
    driver.lead(m=2)
    meter.turn_ended(driver.state, joined=True)
    for meters in (bridge, worker):
        meters.describe_process()
    series: Series = {}
    for meters in (bridge, worker):
        text = generate_latest(meters.registry).decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                series.setdefault(sample.name, []).append(sample.labels)
    return series


def _rules(data: object) -> Iterator[str]:
    if isinstance(data, dict):
        for key, value in data.items():
            if key == "expr":
                yield value
            else:
                yield from _rules(value)
    elif isinstance(data, list):
        for value in data:
            yield from _rules(value)


def _expressions() -> Iterator[tuple[str, str]]:
    """(page, expression) of every rule, and of every query that stands in a sentence."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for block in re.findall(
            r"^ *```yaml\n(.*?)```", text, re.DOTALL | re.MULTILINE
        ):
            if "expr:" in block:
                yield from ((page.name, one) for one in _rules(yaml.safe_load(block)))
        prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
        for span in re.findall(r"`([^`\n]*agentsched_[^`\n]*)`", prose):
            if re.search(r"[({]", span):
                yield page.name, span


EXPRESSIONS = list(_expressions())


def test_there_are_expressions_to_check() -> None:
    assert len(EXPRESSIONS) > 20


def problems(expression: str, exposed: Series) -> list[str]:
    """Everything in an expression that no process of ours will ever show."""
    found = []
    labels: set[str] = set()
    for one in selectors(expression):
        series = exposed.get(one.name)
        if series is None:
            found.append(f"no metric {one.name}")
            continue
        labels |= {label for each in series for label in each}
        unknown = {m.label for m in one.matchers} - labels - BY_PROMETHEUS
        found += [f"{one.name} has no label {label}" for label in sorted(unknown)]
        if not any(one.takes(each) for each in series):
            found.append(f"no series of {one.name} matches {one.matchers}")
    unknown = grouping_labels(expression) - labels - BY_PROMETHEUS
    found += [f"grouped by {label}, which is nowhere" for label in sorted(unknown)]
    found += [
        f"{name} is no counter"
        for name in rated(expression)
        if not name.endswith(("_total", "_bucket", "_count", "_sum"))
    ]
    if "histogram_quantile" in expression and "le" not in grouping_labels(expression):
        found.append("a quantile without le")
    return found


@pytest.mark.parametrize(("page", "expression"), EXPRESSIONS)
def test_an_expression_of_the_docs_finds_series_from_the_start(
    page, expression, exposed
) -> None:
    assert problems(expression, exposed) == []


@pytest.mark.parametrize(
    "wrong",
    [
        'sum(rate(agentsched_queue_seconds_bucket{le="10"}[5m]))',
        "sum(agentsched_nothing)",
        'increase(agentsched_alarms_total{alarm="no_such"}[10m]) > 0',
        'increase(agentsched_alarms_total{kind="x"}[10m]) > 0',
        "rate(agentsched_live_slots[5m])",
        "sum by (queue) (agentsched_requests)",
        "histogram_quantile(0.9, sum(rate(agentsched_queue_seconds_bucket[5m])))",
    ],
)
def test_a_wrong_expression_would_be_found(wrong, exposed) -> None:
    assert problems(wrong, exposed)


def test_every_metric_that_the_docs_name_exists(exposed) -> None:
    names = {metric.name for metric in METRICS} | exposed.keys()
    for page in PAGES:
        for name in re.findall(r"\bagentsched_\w+", page.read_text("utf-8")):
            assert name in names | NO_METRICS, f"{page.name}: {name}"


def test_every_log_line_that_the_docs_show_can_be_written() -> None:
    fields = {event.name: set(event.fields) for event in EVENTS}
    always = {"time", "level", "process", "pid", "event"}
    shown = 0
    for page in PAGES:
        for line in re.findall(
            r'^ *(\{.*"event":.*\})$', page.read_text("utf-8"), re.MULTILINE
        ):
            data = json.loads(line)
            assert data.keys() - always <= fields[data["event"]], page.name
            shown += 1
    assert shown


def test_a_shown_alert_of_a_rare_event_sees_also_the_first_scrape() -> None:
    """`increase` sees nothing of a process that counts before it is scraped."""
    rare = {"agentsched_alarms_total", "agentsched_dead_letters_total"}
    for _, expression in EXPRESSIONS:
        if rare & rated(expression):
            assert "unless" in expression
