"""The published Quick Start runs as it is, on `agentsched up --kafka apache`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agentsched.embedded.services import environment
from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.kafka.producer import Producer
from tests.support.processes import writers
from tests.support.up import Up

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

SCRIPT = Path(__file__).parents[2] / "examples" / "quick_start.py"
RUN_S = 240
SERVERS = ("--kafka", "apache", "--servers-only")


@pytest.fixture(scope="module", autouse=True)
def servers(kafka, tmp_path_factory):
    """Kafka and a model server where the script looks for them, as the README says."""
    del kafka  # says what was not tested where there is no real Kafka
    up = Up(tmp_path_factory.mktemp("up") / "root", *SERVERS)
    with up.running():
        up.wait_for("Ctrl-C ends all", timeout_s=90)
        yield up
        up.end()


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


def test_it_answers_all_its_requests_and_ends_by_itself(tmp_path):
    output = run_once(tmp_path, None)
    assert "Total processed tasks" in output
    processed = [
        int(line.rpartition(":")[2])
        for line in output.splitlines()
        if "Total processed tasks" in line
    ]
    assert sum(processed) == 5


def test_it_runs_again_on_the_same_kafka_without_a_redis_that_remembers(tmp_path):
    run_once(tmp_path, None)


@pytest.mark.long
def test_it_runs_ten_times_in_a_row_on_one_kafka_and_one_redis(tmp_path):
    with EmbeddedValkey(tmp_path / "valkey", tmp_path / "valkey.log") as valkey:
        for _ in range(10):
            run_once(tmp_path, valkey.url)


def test_a_killed_kafka_is_back_at_its_address_with_what_it_had(servers):
    with Producer("localhost:9092") as producer:
        at = producer.produce({"correlation_id": "kept"}, "results").result(20)
        victims = [
            pid
            for pid, command in writers(servers.root).items()
            if command.startswith("java") and "guard.py" not in command
        ]
        assert len(victims) == 1
        os.kill(victims[0], signal.SIGKILL)
        servers.wait_for("Kafka starts again in")
        # Delivered only once Kafka is back; its log goes on where it was.
        again = producer.produce({"correlation_id": "later"}, "results").result(40)
    same = again.partition == at.partition
    assert again.offset == at.offset + 1 if same else again.offset >= 0
