"""The values of a process's metrics."""

import pytest
from prometheus_client import generate_latest

from agentsched.telemetry import metrics
from agentsched.telemetry.meters import SERIES_MAX, Meters
from agentsched.telemetry.metrics import Metric

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
    for number in range(SERIES_MAX + 5):
        meters.count(COLOURS, f"colour {number}")
    assert meters.value(COLOURS, "other") == 5
    assert meters.value(COLOURS, f"colour {SERIES_MAX}") is None
    assert meters.value(COLOURS, "colour 0") == 1


def test_a_process_describes_itself() -> None:
    meters = Meters("worker")
    meters.describe_process()
    text = page(meters)
    assert "process_resident_memory_bytes" in text
    assert 'agentsched_build_info{version="' in text
