"""The declarations of metrics and log events, and the pages that are made from them."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from agentsched.config.settings import Settings
from agentsched.telemetry import events
from agentsched.telemetry.events import EVENTS, FIELDS
from agentsched.telemetry.logs import PYTHON_NAMES
from agentsched.telemetry.metrics import LABELS, METRICS
from agentsched.telemetry.reference import logs_page, metrics_page
from bridge.observer import ALARMS

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "docs" / "reference"
AGAIN = "make them again: python -m agentsched.telemetry.reference docs/reference"


def test_the_page_of_metrics_is_the_one_that_is_made() -> None:
    assert (REFERENCE / "metrics.md").read_text("utf-8") == metrics_page(), AGAIN


def test_the_page_of_log_events_is_the_one_that_is_made() -> None:
    assert (REFERENCE / "logs.md").read_text("utf-8") == logs_page(), AGAIN


def test_no_two_metrics_and_no_two_events_share_a_name() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert len({event.name for event in EVENTS}) == len(EVENTS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_says_unit_labels_and_meaning(metric) -> None:
    assert metric.name.startswith("agentsched_")
    assert set(metric.labels) <= set(LABELS)
    assert metric.description.endswith(".")
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert (metric.kind == "histogram") == bool(metric.buckets)
    if metric.kind == "histogram":
        assert metric.name.endswith("_seconds")
        assert list(metric.buckets) == sorted(set(metric.buckets))


def test_no_label_names_a_request_or_an_agent() -> None:
    assert not [name for name in LABELS if "id" in name.split("_")]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_an_event_has_known_fields_and_a_meaning(event) -> None:
    assert set(event.fields) <= set(FIELDS)
    assert event.description.endswith(".")


def test_every_field_and_label_is_used() -> None:
    assert set(FIELDS) == {field for event in EVENTS for field in event.fields}
    assert set(LABELS) == {label for metric in METRICS for label in metric.labels}


def test_the_how_to_names_settings_and_events_that_there_are() -> None:
    page = (ROOT / "docs" / "how-to" / "monitor.md").read_text("utf-8")
    events = {event.name for event in EVENTS}
    assert set(re.findall(r"`(request_[a-z_]+)`", page)) <= events
    for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL):
        data = yaml.safe_load(block)
        assert data
        if data.keys() & {"http", "logging"}:
            defaults = Settings().model_dump(mode="json")
            assert all(defaults[section] == data[section] for section in data)


def said_calls():
    """(file, event name, keywords) of every call of `say` in the product."""
    for path in [*ROOT.glob("agentsched/**/*.py"), *ROOT.glob("bridge/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id != "say":
                continue
            first = node.args[0]
            names = [n for n in ast.walk(first) if isinstance(n, ast.Attribute)]
            names += [n for n in ast.walk(first) if isinstance(n, ast.Name)]
            for name in names:
                text = name.attr if isinstance(name, ast.Attribute) else name.id
                if isinstance(found := getattr(events, text, None), events.LogEvent):
                    yield path, found, {word.arg for word in node.keywords} - {None}


def test_what_is_said_is_declared() -> None:
    calls = list(said_calls())
    by_table = {event.name for event in ALARMS.values()}
    said = {event.name for _, event, _ in calls}
    assert said | by_table == {event.name for event in EVENTS}
    for path, event, keywords in calls:
        declared = {PYTHON_NAMES.get(name, name) for name in event.fields}
        # A REQUEST_FAILED shares its call with REQUEST_COMPLETED, which has no code.
        assert keywords - declared <= {"code"}, f"{path}: {event.name}"
