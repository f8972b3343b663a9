"""`agentsched up`: what it prints works, it guards its folder, it ends in order."""

import os
import signal
import subprocess
import sys

import pytest

from tests.support.processes import writers
from tests.support.up import Up
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One that is complete; ended by Ctrl-C, which is a test of its own."""
    with Up(tmp_path_factory.mktemp("up") / "root").running() as up:
        up.wait_for("all ends with Ctrl-C")
        yield up
        up.end()


def test_the_printed_first_request_is_answered_as_it_stands(shared, tmp_path):
    lines = shared.output.splitlines()
    start = next(n for n, line in enumerate(lines) if line.endswith("<<'END'"))
    text = "\n".join(lines[start : lines.index("END") + 1])
    done = subprocess.run(
        ["bash", "-c", text + "\n"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert " says: this is a made up answer" in done.stdout


def test_a_second_start_in_the_same_folder_is_refused(shared):
    second = subprocess.run(
        [sys.executable, "-m", "agentsched", "up", "--dir", str(shared.root)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert "another Valkey uses" in second.stderr
    assert shared.process.poll() is None


def test_a_child_that_dies_is_named_with_its_log_and_starts_again(shared):
    def bridges():
        return [
            pid
            for pid, command in writers(shared.root).items()
            if command.endswith("-m bridge ") and "guard.py" not in command
        ]

    (victim,) = bridges()
    os.kill(victim, signal.SIGKILL)
    shared.wait_for("bridge has ended and starts again in 0.5 s")
    assert "logs/bridge.log" in shared.output
    eventually(lambda: bridges() not in ([], [victim]), timeout_s=20)


def test_sigterm_while_it_starts_leaves_no_process(tmp_path):
    with Up(tmp_path / "root").running() as up:
        up.wait_for("the worker of")
        up.end(signal.SIGTERM)
