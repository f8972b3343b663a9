"""The values of a process's metrics."""

import ast
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from agentsched.errors import ErrorCode, LedgerError
from agentsched.telemetry import metrics
from agentsched.telemetry.meters import MAX_SERIES, Meters
from agentsched.telemetry.metrics import LABEL_VALUES, LABELS, METRICS, Metric
from agentsched.types import Priority
from agentsched.worker.execution import Ended
from bridge.core.commands import Alarm

ROOT = Path(__file__).parents[3]

COLOURS = Metric("agentsched_colours_total", "counter", ("worker",), "C.", ("class",))


def page(meters: Meters) -> str:
    return generate_latest(meters.registry).decode()


def test_a_counter_counts_by_its_labels() -> None:
    meters = Meters("bridge")
    meters.count(metrics.DOORBELLS_RUNG, "gpt-4")
    meters.count(metrics.DOORBELLS_RUNG, "gpt-4", by=2)
    assert meters.value(metrics.DOORBELLS_RUNG, "gpt-4") == 3
    assert meters.value(metrics.DOORBELLS_RUNG, "llama3") is None


def test_a_histogram_has_count_and_sum() -> None:
    meters = Meters("worker")
    for seconds in (0.2, 0.4):
        meters.observe(metrics.QUEUE_SECONDS, seconds, "m", "high")
    assert meters.value(metrics.QUEUE_SECONDS, "m", "high", suffix="_count") == 2
    assert meters.value(
        metrics.QUEUE_SECONDS, "m", "high", suffix="_sum"
    ) == pytest.approx(0.6)


def test_a_process_has_its_own_metrics_only() -> None:
    assert "agentsched_index_records" not in page(Meters("worker"))
    assert "agentsched_worker_slots" not in page(Meters("bridge"))


def test_two_processes_in_one_share_no_number() -> None:
    one, two = Meters("bridge"), Meters("bridge")
    one.count(metrics.COMMITS)
    assert (one.value(metrics.COMMITS), two.value(metrics.COMMITS)) == (1, 0)


def test_a_gauge_that_is_replaced_drops_what_is_gone() -> None:
    meters = Meters("bridge")
    meters.replace(metrics.LIVE_SLOTS, {("a",): 1, ("b",): 2})
    meters.replace(metrics.LIVE_SLOTS, {("b",): 3})
    assert meters.value(metrics.LIVE_SLOTS, "a") is None
    assert meters.value(metrics.LIVE_SLOTS, "b") == 3


def test_the_number_of_series_is_bounded() -> None:
    meters = Meters("worker", [COLOURS])
    for number in range(MAX_SERIES + 5):
        meters.count(COLOURS, f"colour {number}")
    assert meters.value(COLOURS, "other") == 5
    assert meters.value(COLOURS, f"colour {MAX_SERIES}") is None
    assert meters.value(COLOURS, "colour 0") == 1


def test_a_process_describes_itself() -> None:
    meters = Meters("worker")
    meters.describe_process()
    text = page(meters)
    assert "process_resident_memory_bytes" in text
    assert 'agentsched_build_info{version="' in text


@pytest.mark.parametrize("process", ["bridge", "worker"])
@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_counter_is_shown_at_0_before_its_first_event(process, metric) -> None:
    """`increase(...) > 0` does not see a series that begins with 1."""
    if metric.kind == "gauge" or process not in metric.processes:
        return
    meters = Meters(process)
    meters.initialize(models=["gpt-4"], topics=["low_priority"])
    meters.describe_process()
    suffix = "_count" if metric.kind == "histogram" else ""
    values = [
        sample.value
        for family in meters.registry.collect()
        for sample in family.samples
        if sample.name == metric.name + suffix
    ]
    assert values
    if metric is not metrics.LOG_LINES_LOST:  # of this process, whatever it ran before
        assert not any(values)


def test_what_was_counted_stays_when_a_model_is_added() -> None:
    meters = Meters("bridge")
    meters.initialize(["a"], ["t"])
    meters.count(metrics.DOORBELLS_RUNG, "a")
    meters.initialize(["a", "b"], ["t"])
    assert meters.value(metrics.DOORBELLS_RUNG, "a") == 1
    assert meters.value(metrics.DOORBELLS_RUNG, "b") == 0


def test_no_alarm_and_no_model_is_made_up() -> None:
    meters = Meters("bridge")
    meters.initialize(["a"], ["t"])
    assert meters.value(metrics.ALARMS, "control_unread", "") == 0
    assert meters.value(metrics.ALARMS, "control_unread", "t") is None
    assert meters.value(metrics.ANSWERED, "none", "low", "UNKNOWN_MODEL") == 0
    assert meters.value(metrics.DOORBELLS_RUNG, "none") is None


def test_the_known_series_do_not_count_against_the_bound() -> None:
    meters = Meters("bridge")
    models = [f"model {number}" for number in range(MAX_SERIES + 1)]
    meters.initialize(models)
    meters.count(metrics.DOORBELLS_RUNG, models[-1])
    meters.count(metrics.DOORBELLS_RUNG, "one more")
    assert meters.value(metrics.DOORBELLS_RUNG, models[-1]) == 1
    assert meters.value(metrics.DOORBELLS_RUNG, "one more") == 1


# -- the values of labels are those of the program -----------------------------------


def steps() -> set[str]:
    """Every step of the ledger that is measured, by the sources."""
    found = set()
    for path in ROOT.glob("agentsched/ledger/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("run", "run_each", "watched")
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(node.args[0].value)
    return found


OPERATORS_STEPS = {"ask", "describe", "lift", "pools", "reports", "workers"}
"""Of the command line, which shows no metrics."""
IN_TURNS = {"put_back"}
"""Of the protocol; processes do it in a turn only."""


def test_every_step_of_the_ledger_is_known() -> None:
    bridge, worker = (set(LABEL_VALUES[p]["step"]) for p in ("bridge", "worker"))
    assert bridge | worker | OPERATORS_STEPS | IN_TURNS == steps()


def test_every_code_is_of_a_process_or_only_of_dead_letters() -> None:
    bridge, worker = (set(LABEL_VALUES[p]["code"]) for p in ("bridge", "worker"))
    replies = bridge | worker | {ErrorCode.POISON}
    assert replies - {"OK", "UNKNOWN"} | set(metrics.DEAD_LETTER_REASONS) == set(
        ErrorCode
    )
    used = {
        path: {
            ErrorCode[node.attr]
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "ErrorCode"
        }
        for part in ("worker", "llm_backend")
        for path in ROOT.glob(f"agentsched/{part}/**/*.py")
    }
    assert any(used.values())
    for path, codes in used.items():
        # What refuses a doorbell answers nobody.
        unanswered = {ErrorCode.MALFORMED} if path.name == "strategy.py" else set()
        assert codes - unanswered <= worker, path


def test_the_other_values_are_those_of_the_program() -> None:
    bridge, worker = LABEL_VALUES["bridge"], LABEL_VALUES["worker"]
    assert set(worker["ended"]) == set(Ended)
    assert set(bridge["alarm"]) == set(Alarm)
    errors = {LedgerError, *LedgerError.__subclasses__()}
    assert set(bridge["error"]) == {error.__name__ for error in errors}
    assert set(bridge["class"]) == set(Priority)


@pytest.mark.parametrize("label", ["alarm", "ended", "error", "kind", "outcome"])
def test_each_value_of_a_label_is_explained(label) -> None:
    for values in LABEL_VALUES.values():
        for value in values.get(label, ()):
            assert f"`{value}`" in LABELS[label]
