"""The order of a run, and what its results become."""

from collections import Counter

import pytest
from rich.console import Console

from benchmarks.suite import tables
from benchmarks.suite.plan import LEAST, PLANS, QUICK, STANDARD
from benchmarks.suite.results import Results, Run, read
from benchmarks.suite.run import MEASURES, SHOWN
from benchmarks.suite.systems import SYSTEMS


def test_every_system_is_measured_as_often_as_the_others():
    done = Counter((step.system, step.part.slots) for step in QUICK.steps())
    assert done == {(name, slots): 2 for name in LEAST for slots in (16, 64)}


def test_all_do_one_thing_before_the_next_and_another_one_begins_each_time():
    steps = list(QUICK.steps())
    first, second = (
        [s.system for s in steps if s.repetition == n and s.part.slots == 16]
        for n in (0, 1)
    )
    assert set(first) == set(second) == set(LEAST)
    assert first[0] != second[0]
    assert [s.part.slots for s in steps] == [16] * 4 + [64] * 4 + [16] * 4 + [64] * 4


def test_systems_and_repetitions_can_be_chosen():
    steps = list(STANDARD.steps(["taskiq"], 1))
    assert {step.system for step in steps} == {"taskiq"}
    assert {step.repetition for step in steps} == {0}


@pytest.mark.parametrize("plan", PLANS.values(), ids=list(PLANS))
def test_a_plan_names_only_what_there_is(plan):
    for part in plan.parts:
        assert part.measures.keys() <= MEASURES.keys()
        assert set(part.systems) <= SYSTEMS.keys()


def test_each_measure_has_a_line():
    assert MEASURES.keys() == SHOWN.keys()


def test_everything_that_is_compared_says_what_it_lacks():
    assert [s.name for s in SYSTEMS.values() if not s.lacks] == ["agentsched"]


STAND = {
    "model_calls_per_s": 1.0,
    "model_cpu_ms": 0.02,
    "kafka_p50_ms": 1.0,
    "kafka_p99_ms": 2.0,
}


def rate(system, repetition, requests_per_s):
    values = {"requests_per_s": requests_per_s, "cpu_ms": {"redis": 0.1}}
    return Run(system, "throughput", repetition, 16, values=values)


@pytest.fixture
def results():
    runs = [rate("agentsched", n, 300 + 100 * n) for n in range(3)]
    runs += [rate("taskiq", n, 200) for n in range(3)]
    failed = Run("dramatiq", "throughput", 0, 16, error="Incomplete: none came")
    return Results("quick", STAND, [*runs, failed], {"cores": 2})


def test_repetitions_become_a_median_with_extremes(results):
    found = results.summary()["agentsched", "throughput", 16, 1, 1]["requests_per_s"]
    assert (found.median, found.low, found.high, found.count) == (400, 300, 500, 3)


def test_what_was_written_is_read_again(results, tmp_path):
    results.write(tmp_path / "new" / "results.json")
    assert read(tmp_path / "new" / "results.json") == results


def test_the_table_has_medians_ratios_and_failures(results):
    console = Console(width=140, record=True, quiet=False, force_terminal=True)
    with console.capture() as said:
        tables.show(results, console)
    text = said.get()
    assert "400 (300-500)" in text
    assert "2.00" in text
    assert "Incomplete: none came" in text
    assert "50,000/s" in text
