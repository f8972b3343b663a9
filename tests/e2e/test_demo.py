"""`agentsched demo` as a user runs it."""

import os
import signal
import subprocess
import sys

import pytest

from tests.support.processes import writers
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def demo(tmp_path):
    """A running demo whose temporary folder lies below `tmp_path`, and its output."""
    folder, output = tmp_path / "tmp", tmp_path / "output.txt"
    folder.mkdir()
    command = [sys.executable, "-m", "agentsched", "demo", "--requests", "30"]
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(folder)},
        )
    try:
        yield process, folder, output
    finally:
        process.kill()
        process.wait()
        eventually(lambda: not writers(folder), timeout_s=20)


def test_the_demo_answers_everything_and_leaves_nothing(demo):
    process, folder, output = demo
    assert process.wait(240) == 0, output.read_text("utf-8")
    assert "30 accepted, 30 answered, 0 lost" in output.read_text("utf-8")
    assert (writers(folder), list(folder.iterdir())) == ({}, [])


def test_a_killed_demo_leaves_no_process(demo):
    process, folder, output = demo
    eventually(
        lambda: "Sending" in output.read_text("utf-8"),
        timeout_s=60,
        message="the demo did not come so far",
    )
    assert len(writers(folder)) > 10  # guards included
    process.send_signal(signal.SIGKILL)
    process.wait()
    eventually(
        lambda: not writers(folder),
        timeout_s=20,
        message="processes outlived the demo",
    )


def test_an_interrupted_demo_leaves_no_process(demo):
    process, folder, output = demo
    eventually(lambda: "the worker of" in output.read_text("utf-8"), timeout_s=60)
    process.send_signal(signal.SIGTERM)
    assert (process.wait(240), writers(folder)) == (130, {})
