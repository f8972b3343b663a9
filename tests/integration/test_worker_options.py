"""What `celery -A agentsched` refuses, before it asks any server."""

import subprocess
import sys
from pathlib import Path

import pytest

FILE = """
redis: {url: "redis://127.0.0.1:1/5"}
models: [{name: gpt-4, endpoints: [{base_url: "http://127.0.0.1:1/v1"}]}]
"""


@pytest.mark.parametrize("command", ["report", "worker"])
def test_a_wrong_setting_ends_the_command_with_a_sentence(
    tmp_path: Path, command: str
) -> None:
    (tmp_path / "agentsched.yaml").write_text("modells: []")
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "agentsched", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "modells: unknown key; did you mean 'models'?" in done.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--autoscale", "9,1"), "leave --autoscale out; idle slots cost nothing"),
        (("-P", "threads"), "leave -P out; calls run on AgentSched's own pool"),
    ],
)
def test_an_option_that_cannot_work_is_refused_with_its_reason_in_one_line(
    tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    (tmp_path / "agentsched.yaml").write_text(FILE)
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "agentsched", "worker", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"agentsched worker: {reason}")
    assert done.returncode == 1
