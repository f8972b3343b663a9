"""The benchmark suite on the real system: short runs, whose figures say little."""

import importlib.util
import sys
from itertools import pairwise

import pytest

from benchmarks.suite.measures.crash import crash
from benchmarks.suite.measures.overhead import overhead
from benchmarks.suite.measures.priority import priority
from benchmarks.suite.measures.throughput import throughput
from benchmarks.suite.measures.utilisation import utilisation
from benchmarks.suite.plan import Part, Step
from benchmarks.suite.run import do
from benchmarks.suite.stand import Kafka, Stand
from benchmarks.suite.systems import SYSTEMS, Program, System, python_path

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def stand(kafka):
    running = Kafka(kafka.bootstrap, kafka.pids[0])
    with Stand(lambda _: None, kafka=running) as stand:
        yield stand


def test_agentsched_is_measured(stand):
    with stand.session(SYSTEMS["agentsched"], 4) as session:
        rate = throughput(session, 0.1, pilot=20, fewest=40)
        assert rate["failed"] == 0
        assert rate["calls"] == rate["requests"]
        assert {"bridge", "worker", "redis", "kafka", "model"} <= rate["cpu_ms"].keys()
        assert rate["own_cpu_ms"] == pytest.approx(
            rate["cpu_ms"]["bridge"] + rate["cpu_ms"]["worker"]
        )
        slow = overhead(session, 1, 10)
        assert slow["model_p50_ms"] >= 99
        assert 0 < slow["before_p50_ms"] <= slow["p99_ms"]
        full = utilisation(session, 0.5, 50)
        assert 0 < full["utilisation_ratio"] <= 1.01
        assert full["most_at_once"] <= 4
        due = list(session.load.send("low", 5, rate_per_s=100).values())
        # By the clock, however late the sender was.
        assert {b - a for a, b in pairwise(due)} == {10_000_000}
        order = priority(session, 60, 8)
        assert order["failed"] == 0
        assert order["last_high_started_ms"] > 0


def test_a_system_that_ends_is_a_result_and_does_not_end_the_run(stand, monkeypatch):
    def programs(_):
        argv = [sys.executable, "-c", "raise SystemExit('no licence')"]
        return [Program("worker", argv, python_path())]

    broken = System("broken", "broken", "", programs)
    monkeypatch.setitem(SYSTEMS, "broken", broken)
    part = Part({"throughput": {"seconds": 1}, "idle": {"seconds": 1}}, ["broken"], 2)
    runs = do(stand, Step(part, "broken", 0))
    assert [run.measure for run in runs] == ["throughput", "idle"]
    for run in runs:
        assert "has ended" in run.error
        assert "no licence" in run.error


@pytest.mark.long
def test_a_kill_is_seen(stand):
    with stand.session(SYSTEMS["agentsched"], 8) as session:
        found = crash(session, 200)
    assert found["without_reply"] == found["doubled_replies"] == 0
    assert found["repeated_calls"] <= 8


@pytest.mark.long
@pytest.mark.skipif(
    importlib.util.find_spec("faststream") is None,
    reason="NOT TESTED: the rivals; `make bench` installs them",
)
@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "agentsched"])
def test_each_rival_answers_everything(stand, name):
    models = 2 if SYSTEMS[name].has_models else 1
    with stand.session(SYSTEMS[name], 4, models=models) as session:
        found = utilisation(session, 1, 50)
    assert found["failed"] == 0
    assert found["most_at_once"] <= 4 * models
