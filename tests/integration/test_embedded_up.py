"""`agentsched up`: what it prints works, it guards its folder, it ends in order."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import writers
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)


class Up:
    """A running `agentsched up`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._output = root.with_suffix(".txt")
        command = [sys.executable, "-m", "agentsched", "up", "--dir", str(root)]
        with self._output.open("wb") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT
            )

    @property
    def output(self) -> str:
        return self._output.read_text("utf-8")

    def wait_for(self, text: str) -> None:
        eventually(
            lambda: text in self.output or self.process.poll() is not None,
            timeout_s=60,
        )
        assert text in self.output


@contextmanager
def running(root: Path) -> Iterator[Up]:
    up = Up(root)
    try:
        yield up
    finally:
        up.process.kill()
        up.process.wait()
        eventually(lambda: not writers(root), timeout_s=20)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One that is complete; ended by Ctrl-C, which is a test of its own."""
    with running(tmp_path_factory.mktemp("up") / "root") as up:
        up.wait_for("all ends with Ctrl-C")
        yield up
        up.process.send_signal(signal.SIGINT)
        assert (up.process.wait(40), writers(up.root)) == (0, {}), up.output


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


def test_a_child_that_dies_is_named_with_its_log(tmp_path):
    with running(tmp_path / "root") as up:
        up.wait_for("all ends with Ctrl-C")
        victims = [
            pid
            for pid, command in writers(up.root).items()
            if command.endswith("-m bridge ") and "guard.py" not in command
        ]
        assert len(victims) == 1
        os.kill(victims[0], signal.SIGKILL)
        assert up.process.wait(40) == 1
        assert "bridge has ended" in up.output
        assert "logs/bridge.log" in up.output
        assert writers(up.root) == {}


def test_sigterm_while_it_starts_leaves_no_process(tmp_path):
    with running(tmp_path / "root") as up:
        up.wait_for("the worker of")
        up.process.send_signal(signal.SIGTERM)
        assert (up.process.wait(40), writers(up.root)) == (0, {}), up.output
