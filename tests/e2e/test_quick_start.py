"""The published Quick Start runs as it is, on real Kafka at localhost:9092."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentsched.embedded.services import environment
from agentsched.embedded.valkey import EmbeddedValkey
from tests.support.kafka_cluster import KafkaCluster
from tests.support.model_server import ModelServer

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

SCRIPT = Path(__file__).parents[2] / "examples" / "quick_start.py"
RUN_S = 90


@pytest.fixture(scope="module")
def published_kafka(kafka):
    del kafka  # says what was not tested where there is no real Kafka
    with KafkaCluster(ports=[9092]) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def published_model_server():
    with ModelServer(port=30000, delay_s=0.3) as server:
        yield server


def run_once(folder: Path, redis_url: str | None) -> str:
    folder.mkdir(exist_ok=True)
    env = environment(os.environ, folder / "none.yaml", {})
    del env["AGENTSCHED_CONFIG"]
    if redis_url:
        env["REDIS_URL"] = redis_url
    done = subprocess.run(
        [sys.executable, "-W", "error", SCRIPT],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "Traceback" not in output, output
    assert "Demo completed." in output, output
    assert "Requests without responses" not in output, output
    assert output.count("Response: ") == 5, output
    assert output.count("Status: completed") == 5, output
    return output


@pytest.mark.usefixtures("published_kafka", "published_model_server")
def test_it_answers_all_its_requests_and_ends_by_itself(tmp_path):
    output = run_once(tmp_path, None)
    assert "Total processed tasks" in output
    processed = [
        int(line.rpartition(":")[2])
        for line in output.splitlines()
        if "Total processed tasks" in line
    ]
    assert sum(processed) == 5


@pytest.mark.usefixtures("published_kafka", "published_model_server")
def test_it_runs_again_on_the_same_kafka_without_a_redis_that_remembers(tmp_path):
    run_once(tmp_path, None)


@pytest.mark.long
@pytest.mark.usefixtures("published_kafka", "published_model_server")
def test_it_runs_ten_times_in_a_row_on_one_kafka_and_one_redis(tmp_path):
    with EmbeddedValkey(tmp_path / "valkey", tmp_path / "valkey.log") as valkey:
        for _ in range(10):
            run_once(tmp_path, valkey.url)
